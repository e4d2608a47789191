//! Logging to standard error, one compact line per event. Secrets (tokens, keys) are never given to it: their types' `Debug` hides them.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// The environment variable that sets the level: `warn`, `debug`, or a filter such as `info,sitepulse_agent=debug`.
pub const LEVEL_ENV: &str = "SITEPULSE_LOG";

/// Why logging could not start.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The level does not parse.
    #[error("log level {text:?} (from {from}) is not valid: {reason}: use error, warn, info, debug or trace")]
    BadLevel {
        /// The text.
        text: String,
        /// Where it came from.
        from: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A logger is installed already.
    #[error("logging was started twice")]
    Twice,
}

/// Whether a level can be given to [`init`]; else what is wrong with it, and the remedy. For configuration files, which can name the place.
pub fn check(level: &str) -> Result<(), String> {
    match filter(level, "here") {
        Ok(_) => Ok(()),
        Err(LoggingError::BadLevel { reason, .. }) => {
            Err(format!("log level {level:?} is not valid: {reason}: use error, warn, info, debug or trace"))
        }
        Err(error @ LoggingError::Twice) => Err(error.to_string()),
    }
}

/// Starts logging. `level` (from the command line or a configuration file) goes before [`LEVEL_ENV`]; the default is `info`.
pub fn init(level: Option<&str>) -> Result<(), LoggingError> {
    let env = std::env::var(LEVEL_ENV).ok().filter(|text| !text.is_empty());
    let filter = match (level, &env) {
        (Some(level), _) => filter(level, "the command line or the configuration file")?,
        (None, Some(level)) => filter(level, LEVEL_ENV)?,
        (None, None) => filter("info", "the default")?,
    };
    // The journal stamps lines itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let started = if journal { builder.without_time().try_init() } else { builder.try_init() };
    started.map_err(|_| LoggingError::Twice)
}

fn filter(level: &str, from: &'static str) -> Result<EnvFilter, LoggingError> {
    let bad = |reason: String| LoggingError::BadLevel { text: level.to_owned(), from, reason };
    let plain = level.parse::<tracing::Level>().is_ok() || level == "off";
    if !plain && !level.contains(['=', ',']) {
        return Err(bad("not a level".to_owned()));
    }
    // The transport's own crates are loud below warn; a filter that names them wins.
    let quieted = if plain { format!("quinn=warn,quinn_proto=warn,rustls=warn,{level}") } else { level.to_owned() };
    EnvFilter::builder().parse(quieted).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for good in ["info", "DEBUG", "off", "warn,sitepulse_agent=trace"] {
            assert!(filter(good, "test").is_ok(), "{good}");
        }
        for bad in ["loud", "a=b=c=d"] {
            let error = filter(bad, "SITEPULSE_LOG").unwrap_err().to_string();
            assert!(error.contains("SITEPULSE_LOG") && error.contains("use error, warn"), "{error}");
        }
    }
}
