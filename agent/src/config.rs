//! The agent's configuration file. Every key is optional; an unknown one is an error.

pub mod browser;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sitepulse_daemon::address::Policy;
use sitepulse_daemon::config::{self, ConfigError};
use sitepulse_daemon::logging;

use self::browser::BrowserKeys;
use crate::engine::{IN_FLIGHT_DEFAULT, PER_HOST_MAX_DEFAULT};
use crate::spool::{BYTES_MAX_DEFAULT, BYTES_MAX_MIN, Limits};

/// The file's keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where state and spool are.
    pub data_dir: Option<PathBuf>,
    /// Collectors to try before those that the collector itself named, as `host:port`.
    #[serde(default)]
    pub collectors: Vec<String>,
    /// Most bytes of the spool; from 1 MiB.
    pub spool_bytes_max: Option<u64>,
    /// Most runs at once; from 1.
    pub max_in_flight: Option<usize>,
    /// Log level, as `SITEPULSE_LOG`.
    pub log: Option<String>,
    /// What probes may reach.
    #[serde(default)]
    pub network: NetworkKeys,
    /// The browser of `web_vitals` checks.
    #[serde(default)]
    pub browser: BrowserKeys,
}

/// The keys of `[network]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkKeys {
    /// What may be dialled besides public addresses: see [`Policy::parse`].
    #[serde(default)]
    pub allow: Vec<String>,
    /// Targets, as `host:port`, that are dialled to tell an outage of the agent's own network from one of a check's target.
    #[serde(default)]
    pub references: Vec<String>,
    /// Most runs at once against one host; from 1.
    pub per_host_max: Option<usize>,
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = config::read(path)?;
        Self::parse(&text, path)
    }

    /// Parses a file's text; `path` is for the errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = config::parse(text, path)?;
        let at = |key: &str| config::key_offset(text, key);
        if config.spool_bytes_max.is_some_and(|bytes| !(BYTES_MAX_MIN..=1 << 40).contains(&bytes)) {
            let message = "spool_bytes_max must be from 1048576 (1 MiB) to 1099511627776 (1 TiB)";
            return Err(config::invalid(text, path, at("spool_bytes_max"), message));
        }
        if config.max_in_flight.is_some_and(|runs| !(1..=10_000).contains(&runs)) {
            return Err(config::invalid(text, path, at("max_in_flight"), "max_in_flight must be from 1 to 10000"));
        }
        if let Some(message) = config.log.as_deref().and_then(|level| logging::check(level).err()) {
            return Err(config::invalid(text, path, at("log"), &message));
        }
        let entry_at = |key: &str, entry: &str| {
            let from = at(key);
            from + text[from..].find(&format!("\"{entry}\"")).unwrap_or(0)
        };
        for collector in &config.collectors {
            if let Err(message) = check_address(collector) {
                return Err(config::invalid(text, path, entry_at("collectors", collector), &message));
            }
        }
        let network = &config.network;
        for entry in &network.allow {
            if let Err(message) = Policy::parse(std::slice::from_ref(entry)) {
                return Err(config::invalid(text, path, entry_at("allow", entry), &message));
            }
        }
        for reference in &network.references {
            if !is_address(reference) {
                let message =
                    format!("{reference:?} is no reference target: write host:port, as in one.one.one.one:53");
                return Err(config::invalid(text, path, entry_at("references", reference), &message));
            }
        }
        if let Err((key, message)) = self::browser::judge(&config.browser) {
            return Err(config::invalid(text, path, at(key), &message));
        }
        if network.per_host_max.is_some_and(|runs| !(1..=10_000).contains(&runs)) {
            return Err(config::invalid(text, path, at("per_host_max"), "per_host_max must be from 1 to 10000"));
        }
        Ok(config)
    }

    /// The spool's limits.
    pub fn limits(&self) -> Limits {
        Limits { bytes_max: self.spool_bytes_max.unwrap_or(BYTES_MAX_DEFAULT), ..Limits::default() }
    }

    /// Most runs at once.
    pub fn in_flight_max(&self) -> usize {
        self.max_in_flight.unwrap_or(IN_FLIGHT_DEFAULT)
    }

    /// Most runs at once against one host.
    pub fn per_host_max(&self) -> usize {
        self.network.per_host_max.unwrap_or(PER_HOST_MAX_DEFAULT)
    }

    /// What probes may dial: the file's list and `more`.
    pub fn policy(&self, more: &[String]) -> Result<Policy, String> {
        let all: Vec<String> = self.network.allow.iter().chain(more).cloned().collect();
        Policy::parse(&all)
    }
}

/// Whether a collector's address can be used; else why not, and the remedy.
pub fn check_address(address: &str) -> Result<(), String> {
    if is_address(address) {
        return Ok(());
    }
    Err(format!(
        "{address:?} is not a collector's address: write host:port, as in collector.example:8443 or [2001:db8::1]:8443"
    ))
}

/// Whether it reads as `host:port`.
fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_good = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]:/@".contains(c)),
        };
        host_good && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_known_and_in_range() {
        let config = parse(
            "data_dir = \"/x\"\ncollectors = [\"a:1\"]\nspool_bytes_max = 2000000\nmax_in_flight = 7\nlog = \"warn\"",
        )
        .unwrap();
        assert_eq!(config.limits().bytes_max, 2_000_000);
        assert_eq!(config.in_flight_max(), 7);
        assert!(parse("").unwrap() == Config::default());
        assert!(parse("datadir = \"/x\"").unwrap_err().starts_with("agent.toml:1:1: unknown field"));
        assert!(parse("\nspool_bytes_max = 5").unwrap_err().starts_with("agent.toml:2:1: spool_bytes_max must be"));
        assert!(parse("max_in_flight = 0").unwrap_err().contains("from 1 to 10000"));
    }

    #[test]
    fn log_levels_and_addresses_are_refused_with_their_place() {
        let error = parse("# log = \"x\"\ndata_dir = \"/var/log\"\nlog = \"loud\"\n").unwrap_err();
        assert!(
            error.starts_with("agent.toml:3:1: log level \"loud\"") && error.contains("use error, warn"),
            "{error}"
        );
        let error = parse("log = \"info\"\ncollectors = [\n  \"a:1\",\n  \"foo\",\n]\n").unwrap_err();
        assert!(error.starts_with("agent.toml:4:3: \"foo\" is not") && error.contains("host:port"), "{error}");
        for good in ["a:1", "collector.example:8443", "192.0.2.1:443", "[2001:db8::1]:8443"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in ["", "foo", ":1", "a:", "a:0", "a:65536", "a:+1", "2001:db8::1:8443", "http://a:1", "[a]:1", "a b:1"]
        {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn the_network_table_says_what_may_be_reached() {
        let config = parse(
            "[network]\nallow = [\"loopback\", \"private\"]\nreferences = [\"one.one.one.one:53\"]\nper_host_max = 4",
        )
        .unwrap();
        assert_eq!(config.per_host_max(), 4);
        let both = Policy::parse(&["loopback".to_owned(), "private".to_owned()]).unwrap();
        assert_eq!(config.policy(&[]).unwrap(), both);
        let none = parse("").unwrap();
        assert_eq!(none.policy(&[]).unwrap(), Policy::default());
        assert_eq!(none.policy(&["loopback".to_owned()]).unwrap(), Policy::parse(&["loopback".to_owned()]).unwrap());
        assert!(none.policy(&["everything".to_owned()]).is_err());
        assert_eq!(none.per_host_max(), PER_HOST_MAX_DEFAULT);
        let error = parse("log = \"info\"\n[network]\nallow = [\"loopback\", \"everything\"]").unwrap_err();
        assert!(error.starts_with("agent.toml:3:22: \"everything\""), "{error}");
        let error = parse("[network]\nreferences = [\n  \"example.com\"]").unwrap_err();
        assert!(error.starts_with("agent.toml:3:3: \"example.com\" is no reference target"), "{error}");
        assert!(parse("[network]\nper_host_max = 0").unwrap_err().contains("agent.toml:2:1: per_host_max"));
        assert!(parse("[network]\ndeny = []").unwrap_err().contains("unknown field"));
    }

    #[test]
    fn the_packaged_sample_names_every_key_with_its_default() {
        let sample = include_str!("../../packaging/config/agent.toml");
        parse(sample).unwrap();
        // Every commented-out key is set to what it is anyway.
        let set: String = sample
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
                Some(_) | None => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = parse(&set).unwrap();
        let empty = Config::default();
        assert_eq!(config.in_flight_max(), empty.in_flight_max());
        assert_eq!(config.per_host_max(), empty.per_host_max());
        assert_eq!(config.limits().bytes_max, empty.limits().bytes_max);
        assert_eq!(config.network.allow, empty.network.allow);
        assert_eq!(config.browser.options(), empty.browser.options());
        let keys = [
            "data_dir",
            "collectors",
            "spool_bytes_max",
            "max_in_flight",
            "log",
            "allow",
            "references",
            "per_host_max",
        ];
        for key in keys.into_iter().chain(browser::NAMES) {
            assert!(set.lines().any(|line| line.starts_with(&format!("{key} = "))), "the sample lacks {key}");
        }
    }
}
