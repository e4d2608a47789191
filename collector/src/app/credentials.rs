//! Credentials of people and scripts: API tokens, one-time sign-in links, console sessions.
//!
//! A secret is 32 random bytes, shown once as text; the store keeps its SHA-256 with an expiry.

use sitepulse_model::time::UtcMicros;

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// A bearer token of the API.
    ApiToken = 1,
    /// A sign-in link: opens one console session, once.
    SignIn = 2,
    /// A console session's cookie.
    Session = 3,
}

/// What a credential lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Look at everything.
    Read = 1,
    /// Look and change everything.
    Admin = 2,
}

/// A credential that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is for.
    pub kind: CredentialKind,
    /// What it lets its holder do.
    pub access: Access,
    /// Whose it is or what for, as given at its making: the USER in `collector:USER`.
    pub note: String,
    /// When it ends.
    pub expires: UtcMicros,
}

/// A credential just made: the one time its secret is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// The secret, as text that fits a URL, a header or a cookie.
    pub secret: String,
    /// The credential.
    pub credential: Credential,
}
