//! Passwords: what one must be, and argon2id.
//!
//! Costs are those that OWASP asks for (19 MiB, 2 passes, 1 lane). They stand in each hash, so that they can be raised later. A user that is
//! not there, or has no password, is checked against a hash of nothing, so that it takes the same time.

use std::sync::OnceLock;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// Memory of one hash, in KiB.
pub const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Shortest password, in characters.
pub const CHARS_MIN: usize = 12;
/// Longest password, in bytes.
pub const BYTES_MAX: usize = 256;

/// What guessers try first, without the figures and signs around it. Passwords that are nothing else are refused.
const COMMON: [&str; 44] = [
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "p@ssword",
    "motdepasse",
    "azerty",
    "azertyuiop",
    "qwerty",
    "qwertyuiop",
    "qwertz",
    "qwertzuiop",
    "asdfgh",
    "asdfghjkl",
    "zxcvbn",
    "zxcvbnm",
    "letmein",
    "welcome",
    "bienvenue",
    "admin",
    "administrator",
    "administrateur",
    "root",
    "toor",
    "secret",
    "changeme",
    "changeit",
    "default",
    "monitoring",
    "sitepulse",
    "uptime",
    "master",
    "superman",
    "iloveyou",
    "jetaime",
    "princess",
    "sunshine",
    "football",
    "baseball",
    "dragon",
    "monkey",
    "soleil",
    "abcdef",
    "trustno",
];

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weak {
    /// Shorter than [`CHARS_MIN`].
    Short,
    /// Longer than [`BYTES_MAX`].
    Long,
    /// Among the first that are guessed, of very few characters, or little more than the user's name.
    Common,
}

impl Weak {
    /// What to tell.
    pub fn message(self) -> String {
        match self {
            Self::Short => format!("the password is too short: {CHARS_MIN} characters at least; a few words in a row are good"),
            Self::Long => format!("the password is too long: {BYTES_MAX} bytes at most"),
            Self::Common => "the password is among the first that are guessed: take a few words that have nothing to do with each other".into(),
        }
    }
}

/// Whether a password may be one's.
///
/// # Errors
/// What is wrong with it.
pub fn judge(password: &str, user: &str) -> Result<(), Weak> {
    if password.chars().count() < CHARS_MIN {
        return Err(Weak::Short);
    }
    if password.len() > BYTES_MAX {
        return Err(Weak::Long);
    }
    let low = password.to_lowercase();
    let mut distinct: Vec<char> = low.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let core: String = low.chars().filter(|c| c.is_alphabetic() || matches!(c, '@' | '0')).collect();
    let run = |chars: &[char]| chars.windows(2).all(|pair| u32::from(pair[1]) == u32::from(pair[0]) + 1);
    let figures: String = low.chars().filter(char::is_ascii_digit).collect();
    // Only figures in a row ("123456789012"), whatever the way around.
    let in_a_row =
        figures.len() == low.len() && ("01234567890123456789".contains(&low) || "98765432109876543210".contains(&low));
    let common =
        COMMON.iter().any(|word| !core.is_empty() && core.trim_matches(['0', '@']).replace(word, "").is_empty());
    let own = !user.is_empty() && low.replace(&user.to_lowercase(), "").chars().count() < CHARS_MIN / 2;
    if distinct.len() < 5 || in_a_row || run(&low.chars().collect::<Vec<_>>()) || common || own {
        return Err(Weak::Common);
    }
    Ok(())
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the costs are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a salt of 16 random bytes. Takes tens of milliseconds: not on a task's thread.
///
/// # Errors
/// When argon2 refuses, which it does not for what [`judge`] lets through.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<String, String> {
    let salt = SaltString::encode_b64(salt).map_err(|error| error.to_string())?;
    hasher().hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

/// Whether this is the password; `None`: nobody's, which takes as long and never is. Not on a task's thread.
pub fn verify(password: &str, phc: Option<&str>) -> bool {
    static NOBODYS: OnceLock<String> = OnceLock::new();
    let nobodys = || NOBODYS.get_or_init(|| hash("", &[0; 16]).expect("argon2 takes the empty text"));
    let text = phc.unwrap_or_else(|| nobodys());
    let Ok(parsed) = PasswordHash::new(text) else { return false };
    let fits = password.len() <= BYTES_MAX;
    // What is too long is not hashed as it is, but something is.
    let tried = if fits { password.as_bytes() } else { b"" };
    hasher().verify_password(tried, &parsed).is_ok() && fits && phc.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_refused() {
        for weak in [
            "short",
            "elevenchars",
            "123456789012",
            "abcdefghijkl",
            "aaaaaaaaaaaaaaaa",
            "Password1234",
            "password!!!!password",
            "P@ssw0rd20262026",
            "SitePulse2026!",
            "anaanaanaana1",
            "ana-silva2026",
        ] {
            let user = if weak.starts_with("ana-") { "ana-silva" } else { "ana" };
            assert!(judge(weak, user).is_err(), "{weak}");
        }
        for fine in ["correct horse battery", "vélo-nuage-tiroir-9", "xK4!vq9Zr2Lw", "pass the salt, admin"] {
            assert_eq!(judge(fine, "ana"), Ok(()), "{fine}");
        }
        assert_eq!(judge(&"vé".repeat(100), "ana"), Err(Weak::Long));
    }

    #[test]
    fn a_hash_is_argon2id_with_its_costs_and_opens_for_its_password_alone() {
        let phc = hash("correct horse battery", &[7; 16]).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify("correct horse battery", Some(&phc)));
        assert!(!verify("correct horse batterz", Some(&phc)));
        assert!(!verify("", Some("no hash at all")));
        // Nobody's password is not even the empty one.
        assert!(!verify("", None));
        assert_ne!(phc, hash("correct horse battery", &[8; 16]).unwrap());
    }
}
