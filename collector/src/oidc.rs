//! Signing in by an identity provider: OpenID Connect 1.0, the authorization code flow with PKCE. Optional; off unless the configuration has `[oidc]`.
//!
//! A browser is sent to the provider with a state, a nonce and the hash of a verifier ([`pending`]); it comes back with a code, which [`provider`] turns into an ID token over
//! the egress rules; [`jws`] checks its signature and [`claims`] what it says. Who that is here, `sub` decides ([`crate::app`]'s part, `identity`).
//!
//! All that decides is pure and is handed `now`: [`settings`], [`pending`], [`jws`], [`claims`]. [`provider`] alone talks.
//!
//! Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (`iss`), RFC 8725 (JWT best practice). The whole of JOSE that is needed is the check of
//! three kinds of signature, which `ring` does; the larger crates bring an RSA with an open advisory and a second cryptography along.

pub mod claims;
pub mod jws;
pub mod pending;
pub mod provider;
pub mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};

use claims::Rules;
use pending::Pending;
use provider::Provider;
use settings::Settings;

/// What signing in by a provider needs.
#[derive(Debug)]
pub struct Oidc {
    /// What the owner wrote.
    pub settings: Settings,
    /// The provider, as far as it is known.
    pub provider: Provider,
    /// Where the provider sends browsers back to.
    pub redirect: String,
    pending: Mutex<Pending>,
}

impl Oidc {
    /// `console`: where browsers reach the console.
    pub fn new(settings: Settings, console: &str) -> Self {
        let redirect = format!("{}/sign-in/provider/back", console.trim_end_matches('/'));
        let provider = Provider::new(settings.issuer.clone());
        Self { settings, provider, redirect, pending: Mutex::default() }
    }

    /// The sign-ins that are under way.
    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may come in, and as what.
    pub fn rules(&self) -> &Rules {
        &self.settings.rules
    }
}
