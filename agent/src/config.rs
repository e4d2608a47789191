//! The agent's configuration file. Every key is optional; an unknown one is an error.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sitepulse_daemon::config::{self, ConfigError};

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
        let at = |key: &str| text.find(key).unwrap_or(0);
        if config.spool_bytes_max.is_some_and(|bytes| !(BYTES_MAX_MIN..=1 << 40).contains(&bytes)) {
            let message = "spool_bytes_max must be from 1048576 (1 MiB) to 1099511627776 (1 TiB)";
            return Err(config::invalid(text, path, at("spool_bytes_max"), message));
        }
        if config.max_in_flight.is_some_and(|runs| !(1..=10_000).contains(&runs)) {
            return Err(config::invalid(text, path, at("max_in_flight"), "max_in_flight must be from 1 to 10000"));
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
}
