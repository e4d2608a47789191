//! The agent's configuration file. Every key is optional; an unknown one is an error.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sitepulse_daemon::config::{self, ConfigError};
use sitepulse_daemon::logging;

use crate::engine::IN_FLIGHT_DEFAULT;
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
        for collector in &config.collectors {
            if let Err(message) = check_address(collector) {
                let from = at("collectors");
                let within = text[from..].find(&format!("\"{collector}\"")).unwrap_or(0);
                return Err(config::invalid(text, path, from + within, &message));
            }
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
}

/// Whether a collector's address can be used; else why not, and the remedy.
pub fn check_address(address: &str) -> Result<(), String> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_good = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]:/@".contains(c)),
        };
        host_good && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        return Ok(());
    }
    Err(format!(
        "{address:?} is not a collector's address: write host:port, as in collector.example:8443 or [2001:db8::1]:8443"
    ))
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
}
