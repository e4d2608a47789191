//! One request to a service that is no channel, over the same way out: what identity providers are asked.
//!
//! Limits: as of any message (`http`): 64 KiB of headers and of body, no redirect, nothing compressed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use tokio::time::Instant;

use crate::Sender;
use crate::http::{Outgoing, ask, encode};

/// A request.
#[derive(Clone, Default)]
pub struct Fetch {
    /// `https://...` or `http://...`.
    pub url: String,
    /// The fields of a form that is sent; a `GET` where there is none.
    pub form: Option<Vec<(&'static str, String)>>,
    /// A name and password that the service knows this client by (RFC 6749, 2.3.1).
    pub basic: Option<(String, String)>,
    /// A token that the service gave (RFC 6750).
    pub bearer: Option<String>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The body as far as it was read.
    pub body: Vec<u8>,
}

impl Sender {
    /// Makes one request, within `deadline`.
    ///
    /// # Errors
    /// Why there is no answer, in one line.
    pub async fn fetch(&self, fetch: &Fetch, deadline: Duration) -> Result<Fetched, String> {
        let (method, mut outgoing) = match &fetch.form {
            Some(fields) => {
                let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                (Method::POST, Outgoing::form(fetch.url.clone(), &fields))
            }
            None => (Method::GET, Outgoing { url: fetch.url.clone(), headers: Vec::new(), body: Vec::new() }),
        };
        outgoing = outgoing.with("accept", "application/json");
        if let Some((name, password)) = &fetch.basic {
            let pair = STANDARD.encode(format!("{}:{}", encode(name), encode(password)));
            outgoing = outgoing.with("authorization", format!("Basic {pair}"));
        }
        if let Some(token) = &fetch.bearer {
            outgoing = outgoing.with("authorization", format!("Bearer {token}"));
        }
        let answer = ask(&self.egress, method, &outgoing, Instant::now() + deadline).await;
        let answer = answer.map_err(|trouble| trouble.why)?;
        Ok(Fetched { status: answer.status.as_u16(), body: answer.body.to_vec() })
    }
}
