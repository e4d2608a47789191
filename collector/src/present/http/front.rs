//! What stands between people and the listener, as the configuration says: TLS that somebody else ends, a proxy on this machine.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri};

use crate::present::door::Door;

/// How people reach the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Front {
    /// Over TLS, whoever ends it: cookies are for TLS alone.
    pub secure: bool,
    /// Perhaps by a proxy on this machine: who comes from here is not yet from here.
    pub proxied: bool,
    /// That proxy says who asks (`X-Forwarded-For`), and is believed.
    pub forwarded: bool,
}

impl Front {
    /// What the address of the console tells; `tls`: whether the listener ends TLS itself, else somebody in front of it does where the address is `https`.
    pub fn of_console(url: &str, tls: bool) -> Self {
        let Ok(uri) = url.parse::<Uri>() else { return Self::default() };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let secure = uri.scheme_str() == Some("https");
        Self { secure, proxied: !here || (secure && !tls), forwarded: false }
    }

    /// Where a connection came in.
    pub(super) const fn door(self, peer: SocketAddr, loopback: bool, tls: bool) -> Door {
        Door::Network { peer, loopback: loopback && !self.proxied, secure: tls || self.secure }
    }

    /// Where one request of it came in: from whom the proxy says.
    pub(super) fn door_of(self, door: Door, headers: &HeaderMap) -> Door {
        match door {
            Door::Network { peer, loopback, secure } if self.forwarded && peer.ip().is_loopback() => {
                let peer = forwarded_for(headers).map_or(peer, |ip| SocketAddr::new(ip, 0));
                Door::Network { peer, loopback, secure }
            }
            Door::Network { .. } | Door::Local => door,
        }
    }
}

/// Whom the nearest proxy had the request from: what it added is the last; what stands before it, anybody may have written.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last = last.rsplit(',').next()?.trim();
    let bare = || last.parse().ok();
    let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || last.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_console_s_address_says_what_stands_in_front() {
        let of = |url| {
            let front = Front::of_console(url, false);
            (front.secure, front.proxied)
        };
        assert_eq!(of("https://status.example"), (true, true));
        assert_eq!(of("http://status.example/a"), (false, true));
        assert_eq!(of("http://127.0.0.1:8080"), (false, false));
        assert_eq!(of("http://localhost"), (false, false));
        assert_eq!(of("https://[::1]:8443"), (true, true), "somebody ends TLS here");
        assert!(!Front::of_console("https://localhost:8443", true).proxied, "the listener does");
    }

    #[test]
    fn the_proxy_s_word_is_the_last_one_and_counts_from_this_machine_alone() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            headers
        };
        let front = Front { forwarded: true, ..Front::of_console("https://status.example", false) };
        let from = |front: Front, peer: &str, headers: &HeaderMap| match front
            .door_of(front.door(peer.parse().unwrap(), true, false), headers)
        {
            Door::Network { peer, .. } => peer.ip().to_string(),
            Door::Local => panic!("the network is not the socket"),
        };
        let here = "127.0.0.1:5";
        assert_eq!(from(front, here, &headers(&["203.0.113.9, 198.51.100.7"])), "198.51.100.7");
        assert_eq!(from(front, here, &headers(&["203.0.113.9", "2001:db8::1"])), "2001:db8::1");
        assert_eq!(from(front, here, &headers(&["198.51.100.7:4711"])), "198.51.100.7");
        assert_eq!(from(front, here, &headers(&["[2001:db8::1]"])), "2001:db8::1");
        assert_eq!(from(front, here, &headers(&["unknown"])), "127.0.0.1");
        assert_eq!(from(front, here, &headers(&[])), "127.0.0.1");
        // Whoever comes from elsewhere says of themselves what they like.
        assert_eq!(from(front, "203.0.113.9:5", &headers(&["198.51.100.7"])), "203.0.113.9");
        assert_eq!(from(Front::default(), here, &headers(&["198.51.100.7"])), "127.0.0.1");
    }
}
