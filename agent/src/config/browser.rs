//! The table `[browser]`: which browser `web_vitals` checks use, and when it is replaced or doubted.

use std::path::PathBuf;

use serde::Deserialize;
use sitepulse_browser::{Form, Options, UNIT_SOCKET};

/// The keys of `[browser]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserKeys {
    /// `auto`, `headless-shell`, `chromium`, or the path of a program: see [`form`].
    pub program: Option<String>,
    /// A socket that gives a browser to whoever connects; by default that of the packaged unit, unless a program is named; empty is none.
    pub socket: Option<PathBuf>,
    /// Where its profiles are while it runs.
    pub dir: Option<PathBuf>,
    /// Loads after which it is replaced; from 1.
    pub loads_max: Option<u32>,
    /// Bytes of memory beyond which it is replaced; from 64 MiB.
    pub memory_max: Option<u64>,
    /// Seconds without a page after which it is ended.
    pub idle_seconds_max: Option<u64>,
    /// Pressure by others on the processors beyond which figures are not graded, in percent of the time; 100 is never.
    pub pressure_max: Option<u32>,
}

/// The keys, for the test of the packaged sample.
#[cfg(test)]
pub(super) const NAMES: [&str; 7] =
    ["program", "socket", "dir", "loads_max", "memory_max", "idle_seconds_max", "pressure_max"];

/// Less memory than any browser starts with.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

impl BrowserKeys {
    /// The browser's options: what is not said is as it is without a file.
    pub fn options(&self) -> Options {
        let default = Options::default();
        Options {
            form: self.program.as_deref().and_then(|text| form(text).ok()).unwrap_or(default.form),
            socket: match (&self.socket, self.program.as_deref()) {
                (Some(_), _) => named(&self.socket),
                (None, None | Some("auto")) => Some(PathBuf::from(UNIT_SOCKET)),
                // What is behind the socket may be another.
                (None, Some(_)) => default.socket,
            },
            dir: named(&self.dir).or(default.dir),
            loads_max: self.loads_max.unwrap_or(default.loads_max),
            memory_max: self.memory_max.unwrap_or(default.memory_max),
            idle_max_s: self.idle_seconds_max.unwrap_or(default.idle_max_s),
            pressure_max: self.pressure_max.map_or(default.pressure_max, |percent| percent * 10),
            sandbox: default.sandbox,
            start_max_s: default.start_max_s,
        }
    }
}

/// An empty path is none.
fn named(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

/// Which browser a text means.
///
/// # Errors
/// It is neither a known name nor a path, with the remedy.
pub fn form(text: &str) -> Result<Form, String> {
    match text {
        "auto" => Ok(Form::Auto),
        "headless-shell" => Ok(Form::HeadlessShell),
        "chromium" => Ok(Form::Chromium),
        path if path.starts_with('/') => Ok(Form::Program(PathBuf::from(path))),
        _ => {
            Err(format!("{text:?} is no browser: use auto, headless-shell, chromium, or the path of a program as /..."))
        }
    }
}

/// What is wrong with the keys: the key, and why.
pub(super) fn judge(keys: &BrowserKeys) -> Result<(), (&'static str, String)> {
    if let Some(Err(message)) = keys.program.as_deref().map(form) {
        return Err(("program", message));
    }
    if keys.loads_max.is_some_and(|loads| !(1..=1_000_000).contains(&loads)) {
        return Err(("loads_max", "loads_max must be from 1 to 1000000".to_owned()));
    }
    if keys.memory_max.is_some_and(|bytes| !(MEMORY_BYTES_MIN..=1 << 40).contains(&bytes)) {
        return Err(("memory_max", "memory_max must be from 67108864 (64 MiB) to 1099511627776 (1 TiB)".to_owned()));
    }
    if keys.idle_seconds_max.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        return Err(("idle_seconds_max", "idle_seconds_max must be from 1 to 86400".to_owned()));
    }
    if keys.pressure_max.is_some_and(|percent| !(1..=100).contains(&percent)) {
        return Err(("pressure_max", "pressure_max must be from 1 to 100 percent; 100 doubts nothing".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let config = Config::parse(text, Path::new("agent.toml")).map_err(|error| error.to_string())?;
        Ok(config.browser.options())
    }

    #[test]
    fn what_is_said_counts_and_the_rest_is_as_it_was() {
        let unit = Some(PathBuf::from("/run/sitepulse-browser.sock"));
        assert_eq!(parse("").unwrap(), Options { socket: unit.clone(), ..Options::default() });
        assert_eq!(parse("[browser]\nprogram = \"auto\"").unwrap().socket, unit);
        for without in ["socket = \"\"", "program = \"chromium\""] {
            assert_eq!(parse(&format!("[browser]\n{without}")).unwrap().socket, None, "{without}");
        }
        let options =
            parse("[browser]\nprogram = \"/opt/chrome\"\nsocket = \"/run/b.sock\"\npressure_max = 40").unwrap();
        assert_eq!(options.form, Form::Program(PathBuf::from("/opt/chrome")));
        assert_eq!((options.socket, options.pressure_max), (Some(PathBuf::from("/run/b.sock")), 400));
        assert_eq!(parse("[browser]\nprogram = \"chromium\"").unwrap().form, Form::Chromium);
        assert!(Options::default().sandbox, "no key takes the sandbox away");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (line, why) in [
            ("program = \"firefox\"", "\"firefox\" is no browser: use auto"),
            ("loads_max = 0", "loads_max must be"),
            ("memory_max = 1000", "memory_max must be"),
            ("pressure_max = 0", "pressure_max must be"),
            ("idle_seconds_max = 0", "idle_seconds_max must be"),
            ("sandbox = false", "unknown field"),
        ] {
            let error = parse(&format!("[browser]\n{line}")).unwrap_err();
            assert!(error.starts_with("agent.toml:2:1: ") && error.contains(why), "{error}");
        }
    }
}
