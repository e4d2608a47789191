//! `[oidc]` of the configuration: read, and judged before the collector starts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::http::Uri;
use serde::Deserialize;
use sitepulse_model::check::is_secret_name;
use sitepulse_model::user::Role;

use super::claims::{Rules, Unknown};

/// Longest label of the button, in characters.
const BUTTON_CHARS_MAX: usize = 60;

/// `[oidc]`, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcTexts {
    /// The provider's issuer, exactly as its discovery document says.
    pub issuer: String,
    /// What the provider knows this collector as.
    pub client_id: String,
    /// `secret:NAME` or `file:/PATH`; none for a public client.
    pub client_secret: Option<String>,
    /// What is asked for: `openid`, `profile`, `email`.
    pub scopes: Option<Vec<String>>,
    /// The claim that tells groups or roles, `.` between names: `groups`.
    pub claim: Option<String>,
    /// The role that each value of the claim gives; of several the one that reaches furthest.
    pub roles: Option<BTreeMap<String, String>>,
    /// Whoever is let in has an address that is verified, in one of these domains.
    pub allow_domains: Option<Vec<String>>,
    /// Whoever is let in is in one of these groups.
    pub allow_groups: Option<Vec<String>>,
    /// What becomes of whoever is no user here: `refuse`, or the role they get where the claim gives none (`viewer`).
    pub unknown: Option<String>,
    /// What the button says.
    pub button: Option<String>,
}

/// Where the client's secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// There is none: PKCE alone.
    None,
    /// A secret of the collector's.
    Named(String),
    /// A file, as systemd hands credentials over.
    File(PathBuf),
}

/// What the owner wrote, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The provider's issuer.
    pub issuer: String,
    /// This collector at the provider.
    pub client_id: String,
    /// Its secret there.
    pub client_secret: ClientSecret,
    /// What is asked for.
    pub scopes: String,
    /// Who may come in, and as what.
    pub rules: Rules,
    /// What the button says, if the owner says so.
    pub button: Option<String>,
}

impl Settings {
    /// Reads what is written.
    ///
    /// # Errors
    /// The key that is of no use, and why.
    pub fn new(texts: OidcTexts) -> Result<Self, (&'static str, String)> {
        if !is_endpoint(&texts.issuer) || texts.issuer.contains(['?', '#']) {
            let why =
                format!("{:?} is no issuer: write https://... as the provider's discovery document does", texts.issuer);
            return Err(("issuer", why));
        }
        if !is_line(&texts.client_id, 255) {
            return Err(("client_id", "write what the provider calls this client".into()));
        }
        let client_secret = match texts.client_secret.as_deref() {
            None => ClientSecret::None,
            Some(text) => client_secret(text).ok_or_else(|| {
                let why = "write \"secret:NAME\" and `sitepulse-collector secret set NAME`, or \"file:/PATH\"; never the secret itself";
                ("client_secret", why.to_owned())
            })?,
        };
        let mut scopes = texts.scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).into());
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".into());
        }
        let is_scope = |scope: &String| is_line(scope, 100) && !scope.contains([' ', '"', '\\']);
        if !scopes.iter().all(is_scope) || scopes.len() > 20 {
            return Err(("scopes", "write up to 20 words, like \"groups\"".into()));
        }
        let mut roles = BTreeMap::new();
        for (value, role) in texts.roles.unwrap_or_default() {
            let read = Role::parse(&role);
            let read = read
                .ok_or_else(|| ("roles", format!("{role:?} of {value:?}: use viewer, responder, editor or admin")))?;
            roles.insert(value, read);
        }
        let unknown = match texts.unknown.as_deref() {
            None | Some("refuse") => Unknown::Refuse,
            // Whoever signs in first must not be an admin for nobody said otherwise.
            Some("viewer") => Unknown::Create,
            Some(other) => return Err(("unknown", format!("{other:?}: use \"refuse\" or \"viewer\""))),
        };
        let domains: Option<Vec<String>> = texts
            .allow_domains
            .map(|all| all.iter().map(|one| one.trim_start_matches('@').to_ascii_lowercase()).collect());
        if domains.as_ref().is_some_and(Vec::is_empty) || texts.allow_groups.as_ref().is_some_and(Vec::is_empty) {
            return Err(("allow_domains", "an empty list lets nobody in: leave it out to let everybody in".into()));
        }
        if unknown == Unknown::Create && domains.is_none() && texts.allow_groups.is_none() {
            let why = "with \"viewer\" everybody whom the provider knows would come in: say whom with allow_domains or allow_groups";
            return Err(("unknown", why.into()));
        }
        if let Some(button) = &texts.button
            && (!is_line(button, 4 * BUTTON_CHARS_MAX) || button.chars().count() > BUTTON_CHARS_MAX)
        {
            return Err(("button", format!("write 1 to {BUTTON_CHARS_MAX} characters on one line")));
        }
        let claim = texts.claim.unwrap_or_else(|| "groups".into());
        let rules = Rules { claim, roles, domains, groups: texts.allow_groups, unknown };
        let (issuer, client_id, button) = (texts.issuer, texts.client_id, texts.button);
        Ok(Self { issuer, client_id, client_secret, scopes: scopes.join(" "), rules, button })
    }
}

fn client_secret(text: &str) -> Option<ClientSecret> {
    if let Some(name) = text.strip_prefix("secret:") {
        return is_secret_name(name).then(|| ClientSecret::Named(name.to_owned()));
    }
    let path = PathBuf::from(text.strip_prefix("file:")?);
    path.is_absolute().then_some(ClientSecret::File(path))
}

fn is_line(text: &str, bytes_max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// Whether an address is one that a provider may have: over TLS, or on this machine.
pub fn is_endpoint(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let scheme = uri.scheme_str();
    url.len() <= 2000
        && !authority.as_str().contains('@')
        && (scheme == Some("https") || (scheme == Some("http") && here))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> OidcTexts {
        OidcTexts { issuer: "https://id.example".into(), client_id: "sitepulse".into(), ..OidcTexts::default() }
    }

    #[test]
    fn little_needs_to_be_written() {
        let settings = Settings::new(texts()).unwrap();
        assert_eq!((settings.scopes.as_str(), &settings.client_secret), ("openid profile email", &ClientSecret::None));
        assert_eq!((settings.rules.claim.as_str(), settings.rules.unknown), ("groups", Unknown::Refuse));
    }

    #[test]
    fn what_is_of_no_use_names_its_key() {
        let some = |text: &str| Some(text.to_owned());
        let list = |text: &str| Some(vec![text.to_owned()]);
        type Change = Box<dyn Fn(&mut OidcTexts)>;
        let cases: Vec<(&str, Change)> = vec![
            ("issuer", Box::new(|texts| texts.issuer = "http://id.example".into())),
            ("issuer", Box::new(|texts| texts.issuer = "https://ana@id.example".into())),
            ("issuer", Box::new(|texts| texts.issuer = "https://id.example/?a".into())),
            ("issuer", Box::new(|texts| texts.issuer = "id.example".into())),
            ("client_id", Box::new(|texts| texts.client_id = " ".into())),
            ("client_secret", Box::new(move |texts| texts.client_secret = some("hunter2"))),
            ("client_secret", Box::new(move |texts| texts.client_secret = some("secret:No Such"))),
            ("client_secret", Box::new(move |texts| texts.client_secret = some("file:relative"))),
            ("scopes", Box::new(move |texts| texts.scopes = list("a b"))),
            ("roles", Box::new(|texts| texts.roles = Some([("sre".to_owned(), "root".to_owned())].into()))),
            ("unknown", Box::new(move |texts| texts.unknown = some("admin"))),
            ("unknown", Box::new(move |texts| texts.unknown = some("viewer"))),
            ("allow_domains", Box::new(|texts| texts.allow_domains = Some(Vec::new()))),
            ("button", Box::new(move |texts| texts.button = some("a\nb"))),
        ];
        for (key, change) in cases {
            let mut texts = texts();
            change(&mut texts);
            assert_eq!(Settings::new(texts.clone()).unwrap_err().0, key, "{texts:?}");
        }
        assert!(Settings::new(OidcTexts { issuer: "http://127.0.0.1:9000/realm".into(), ..texts() }).is_ok());
        assert!(
            Settings::new(OidcTexts { unknown: some("viewer"), allow_domains: list("@Example.com"), ..texts() })
                .is_ok()
        );
    }
}
