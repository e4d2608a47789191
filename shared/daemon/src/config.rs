//! Configuration files: TOML, at most 1 MiB; check files, which are TOML too, have their own bound. Errors name file, line and column. The caller's types deny unknown keys
//! (`#[serde(deny_unknown_fields)]`).

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Largest configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Largest check file: room for 10,000 checks with 800 bytes each.
pub const CHECKS_BYTES_MAX: u64 = 8 << 20;

/// Why a file is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{path}: cannot read: {reason}: check the path and the file's permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says. Part of the text, so not a source: it would be told twice.
        reason: std::io::Error,
    },
    /// It is larger than such files may be.
    #[error("{path}: longer than {bytes_max} bytes: is it the right file? (split a check file in several)")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        bytes_max: u64,
    },
    /// It is not UTF-8.
    #[error("{path}:{line}: not UTF-8 text: is it the right file?")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Malformed TOML, an unknown key, a missing key, or a value of the wrong kind.
    #[error("{path}:{line}:{column}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong and what to do.
        message: String,
    },
}

/// Loads a configuration file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(&read(path)?, path)
}

/// Reads a configuration file as text.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    read_within(path, CONFIG_BYTES_MAX)
}

/// Reads a file of at most `bytes_max` bytes as text.
pub fn read_within(path: &Path, bytes_max: u64) -> Result<String, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ConfigError::TooLong { path: path.to_owned(), bytes_max });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::NotText { path: path.to_owned(), line }
    })
}

/// Parses the text of a configuration file; `path` is for messages.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        invalid(text, path, at, error.message())
    })
}

/// An error about the byte at offset `at` of `text`: for values that parse as TOML but break a rule of ours.
pub fn invalid(text: &str, path: &Path, at: usize, message: &str) -> ConfigError {
    let mut message = message.trim().replace('\n', "; ");
    if message.starts_with("unknown field") {
        message.push_str(": remove it or correct its spelling");
    }
    let (line, column) = position(text, at);
    ConfigError::Invalid { path: path.to_owned(), line, column, message }
}

/// The byte offset of a top-level key in the text, for [`invalid`]: where its line names it, not where a comment or a value does.
pub fn key_offset(text: &str, key: &str) -> usize {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        if bare.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return offset + line.len() - bare.len();
        }
        offset += line.len();
    }
    0
}

/// Line and column (in characters) of a byte offset, from 1.
pub fn position(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        http: String,
        limit: Option<u32>,
    }

    fn error(text: &str) -> String {
        parse::<Sample>(text, Path::new("/etc/x.toml")).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_name_file_line_and_column() {
        let good: Sample = parse("http = \"a\"\nlimit = 3\n", Path::new("x")).unwrap();
        assert_eq!((good.http.as_str(), good.limit), ("a", Some(3)));
        let unknown = error("http = \"a\"\nhtpp = \"b\"\n");
        assert!(unknown.starts_with("/etc/x.toml:2:1: unknown field `htpp`"), "{unknown}");
        assert!(unknown.ends_with("remove it or correct its spelling"), "{unknown}");
        let kind = error("http = \"a\"\nlimit = \"ä\"\n");
        assert!(kind.starts_with("/etc/x.toml:2:9: invalid type"), "{kind}");
        let malformed = error("http = \"a\n");
        assert!(malformed.starts_with("/etc/x.toml:1:"), "{malformed}");
        assert!(error("").contains("missing field `http`"));
    }

    #[test]
    fn unreadable_and_binary_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        let missing = load::<Sample>(&path).unwrap_err();
        assert!(missing.to_string().contains("cannot read") && missing.to_string().contains("check the path"));
        assert!(std::error::Error::source(&missing).is_none(), "the system's words would be told twice");
        std::fs::write(&path, b"a = 1\n\xff").unwrap();
        assert!(matches!(load::<Sample>(&path), Err(ConfigError::NotText { line: 2, .. })));
        std::fs::write(&path, vec![b'\n'; CONFIG_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(load::<Sample>(&path), Err(ConfigError::TooLong { bytes_max: CONFIG_BYTES_MAX, .. })));
        assert!(read_within(&path, CHECKS_BYTES_MAX).is_ok());
        let long = read_within(&path, 9).unwrap_err().to_string();
        assert!(long.contains("longer than 9 bytes") && long.contains("split"), "{long}");
    }

    #[test]
    fn keys_are_found_where_they_are_set() {
        let text = "# log = \"x\"\ndata_dir = \"/var/log\"\nlogs = 1\n  log = \"y\"\n";
        assert_eq!(position(text, key_offset(text, "log")), (4, 3));
        assert_eq!(key_offset(text, "nothing"), 0);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("ä\nöx", 5), (2, 2));
        assert_eq!(position("", 10), (1, 1));
    }
}
