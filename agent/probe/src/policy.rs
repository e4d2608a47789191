//! What the address policy ([`sitepulse_daemon::address`]) means for a run: a refused address is a failure with the cause `policy_refused`.

use std::net::{IpAddr, SocketAddr};

use sitepulse_daemon::address::{Policy, Refusal};
use sitepulse_model::record::{Cause, Phase};

use crate::attempt::Failure;

/// Refuses what may not be dialled, with the reason and the remedy.
pub(crate) fn check(policy: &Policy, address: SocketAddr) -> Result<(), Failure> {
    if address.port() == 0 {
        return Err(refused(&format!("{} is asked for port 0; name a port from 1 to 65535", address.ip())));
    }
    check_host(policy, address.ip())
}

/// As [`check`], where there are no ports (ICMP).
pub(crate) fn check_host(policy: &Policy, address: IpAddr) -> Result<(), Failure> {
    policy.judge(address).map_err(|refusal| refused(&format!("{refusal}; {}", remedy(&refusal))))
}

/// The failure of a run whose address is refused.
pub(crate) fn refused(reason: &str) -> Failure {
    Failure::new(Cause::PolicyRefused, Phase::Connect, format!("policy: {reason}"))
}

/// What to do about it.
pub(crate) fn remedy(refusal: &Refusal) -> String {
    format!("allow it in the agent's configuration: [network] allow = [{:?}]", refusal.entry())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_remedy() {
        let text = |address: &str| check_host(&Policy::default(), address.parse().unwrap()).unwrap_err();
        let failure = text("10.0.0.7");
        assert_eq!((failure.cause, failure.phase), (Cause::PolicyRefused, Phase::Connect));
        assert_eq!(
            failure.detail,
            "policy: 10.0.0.7 is private; allow it in the agent's configuration: [network] allow = [\"private\"]"
        );
        assert_eq!(
            text("169.254.169.254").detail,
            "policy: 169.254.169.254 is a cloud metadata address; allow it in the agent's configuration: [network] allow = [\"169.254.169.254\"]"
        );
        assert!(text("::1").detail.ends_with("allow = [\"loopback\"]"));
        let port = check(&Policy::default(), "1.1.1.1:0".parse().unwrap()).unwrap_err();
        assert_eq!(port.detail, "policy: 1.1.1.1 is asked for port 0; name a port from 1 to 65535");
        assert_eq!(check(&Policy::default(), "1.1.1.1:1".parse().unwrap()), Ok(()));
        assert!(text("198.18.0.1").detail.ends_with("allow = [\"198.18.0.1\"]"));
    }
}
