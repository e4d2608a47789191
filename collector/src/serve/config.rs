//! The configuration of a collector: the file's keys, with what flags say before them, judged as a whole.
//!
//! A value that is wrong is told by its place: the file and the key, or the flag.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sitepulse_daemon::config;
use sitepulse_daemon::exit::Exit;
use sitepulse_model::duration;

use crate::alert::signals;
use crate::cli::{Failure, Global, ServeArgs, default_data_dir};
use crate::oidc;
use crate::oidc::settings::{ClientSecret, OidcTexts};
use crate::present::http::{Front, TlsFiles};
use crate::present::wording::{Wording, WordingTexts};
use crate::seal::retention;
use crate::seal::task::Life;
use crate::watchdog::Watchdog;

/// Where the console listens when nothing is said.
const HTTP_DEFAULT: &str = "127.0.0.1:8080";
/// Where agents connect when nothing is said.
const LISTEN_DEFAULT: &str = "0.0.0.0:8443";

/// A configuration file; every key may be left out, unknown keys are errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where data and admin socket are.
    pub data_dir: Option<PathBuf>,
    /// Where the console and the API listen: `ADDRESS:PORT`.
    pub http: Option<String>,
    /// Where agents connect: `ADDRESS:PORT`.
    pub listen: Option<String>,
    /// What agents are told: `HOST:PORT` each.
    pub advertise: Option<Vec<String>>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter.
    pub log: Option<String>,
    /// TLS for the console and the API.
    pub http_tls: Option<HttpTls>,
    /// How long what is kept.
    pub retention: Option<RetentionTexts>,
    /// When results are sealed.
    pub sealing: Option<SealingTexts>,
    /// The console, as people reach it.
    pub console: Option<ConsoleTexts>,
    /// When something is an incident that no check says of itself.
    pub incidents: Option<IncidentTexts>,
    /// Where messages may go.
    pub egress: Option<EgressTexts>,
    /// Who is told, from outside, that this collector is well.
    pub watchdog: Option<WatchdogTexts>,
    /// Who puts findings into words.
    pub wording: Option<WordingTexts>,
    /// The identity provider that people may sign in by.
    pub oidc: Option<OidcTexts>,
}

/// Where messages may go, and whom they trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressTexts {
    /// What may be reached beside public addresses: `loopback`, `private`, prefixes, addresses. Absent: the first two.
    pub allow: Option<Vec<String>>,
    /// Certificate authorities that are trusted beside the system's: a file of PEM.
    pub ca: Option<PathBuf>,
}

/// Who is told that this collector is well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchdogTexts {
    /// `https://...`, or `secret:NAME`.
    pub url: String,
    /// How often: 1m.
    pub every: Option<String>,
}

/// The console, as people reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleTexts {
    /// Its address, for links in messages: `https://status.example`.
    pub url: Option<String>,
    /// Where the public reaches status pages, if that is elsewhere: `https://status.example`.
    pub status_url: Option<String>,
    /// Whether a proxy on this machine says in `X-Forwarded-For` who asks: false.
    pub trust_forwarded_for: Option<bool>,
    /// Whether `/metrics` asks nobody on this machine for a token although `url` leads elsewhere, so that a proxy may stand here: false.
    pub open_metrics: Option<bool>,
}

/// How long each class of data is kept: a duration of at least two days, or `forever`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionTexts {
    /// Records, reports, screenshots: 90d.
    pub raw: Option<String>,
    /// Latency sketches by the hour, figures of single page loads: 400d.
    pub hourly: Option<String>,
    /// Latency sketches by the day: forever.
    pub daily: Option<String>,
    /// The audit log: forever.
    pub audit: Option<String>,
}

/// When something is an incident that no check says of itself: durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentTexts {
    /// An agent was not heard of for so long: 2m.
    pub agent_silent_after: Option<String>,
    /// A certificate expires sooner: 14d.
    pub certificate_within: Option<String>,
    /// A domain's registration ends sooner: 30d.
    pub domain_within: Option<String>,
}

/// When results are sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealingTexts {
    /// When the oldest came in this long ago: 12h.
    pub after: Option<String>,
    /// When there are so many: 250,000, or 800 of each pair of a check and an agent where that is more, up to 800,000.
    pub records: Option<u64>,
}

impl Config {
    /// Where people reach the console, if that is told.
    fn console_url(&self, path: Option<&Path>) -> Result<Option<String>, Failure> {
        self.address(path, "console.url", |console| console.url.clone())
    }

    /// What stands in front of the listener.
    fn front(&self) -> Front {
        let Some(texts) = &self.console else { return Front::default() };
        let told = texts.url.as_deref().map(|url| Front::of_console(url, self.http_tls.is_some())).unwrap_or_default();
        Front {
            proxied: told.proxied && texts.open_metrics != Some(true),
            forwarded: texts.trust_forwarded_for == Some(true),
            ..told
        }
    }

    /// Where the public reaches status pages, if that is told: where it reaches the console, unless it is told apart.
    fn status_url(&self, path: Option<&Path>) -> Result<Option<String>, Failure> {
        let own = self.address(path, "console.status_url", |console| console.status_url.clone())?;
        own.map_or_else(|| self.console_url(path), |own| Ok(Some(own)))
    }

    fn address(
        &self,
        path: Option<&Path>,
        key: &str,
        of: impl FnOnce(&ConsoleTexts) -> Option<String>,
    ) -> Result<Option<String>, Failure> {
        let Some(url) = self.console.as_ref().and_then(of) else { return Ok(None) };
        let uri: Option<axum::http::Uri> = url.parse().ok();
        let fits = uri.is_some_and(|uri| {
            let scheme = matches!(uri.scheme_str(), Some("https" | "http"));
            scheme && uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'))
        });
        if !fits || url.contains('#') {
            let (exit, place) = place(false, key, path);
            return Err(Failure::new(exit, format!("{place}: {url:?} is no address, like https://status.example")));
        }
        Ok(Some(url))
    }

    /// How long the audit log is kept, in microseconds; `None`: for ever.
    fn audit_us(&self, path: Option<&Path>) -> Result<Option<u64>, Failure> {
        let Some(text) = self.retention.as_ref().and_then(|texts| texts.audit.as_deref()) else { return Ok(None) };
        retention::parse(text).map_err(|why| {
            let (exit, place) = place(false, "retention.audit", path);
            Failure::new(exit, format!("{place}: {why}"))
        })
    }

    /// What the life of results is ruled by.
    fn life(&self, path: Option<&Path>) -> Result<Life, Failure> {
        let bad = |key: &str, why: String| {
            let (exit, place) = place(false, key, path);
            Failure::new(exit, format!("{place}: {why}"))
        };
        let mut life = Life::default();
        let texts = self.retention.clone().unwrap_or_default();
        for (key, text, kept) in [
            ("retention.raw", texts.raw, &mut life.retention.raw_us),
            ("retention.hourly", texts.hourly, &mut life.retention.hourly_us),
            ("retention.daily", texts.daily, &mut life.retention.daily_us),
        ] {
            if let Some(text) = text {
                *kept = retention::parse(&text).map_err(|why| bad(key, why))?;
            }
        }
        let days = |kept: Option<u64>| kept.unwrap_or(u64::MAX);
        if days(life.retention.daily_us) < days(life.retention.hourly_us) {
            let why = "days must be kept at least as long as hours (`hourly`)".to_owned();
            return Err(bad("retention.daily", why));
        }
        let texts = self.sealing.clone().unwrap_or_default();
        if let Some(text) = texts.after {
            let us = duration::parse(&text).map_err(|error| bad("sealing.after", error.to_string()))?;
            life.sealing.after_us = i64::try_from(us).unwrap_or(i64::MAX);
        }
        if let Some(records) = texts.records {
            life.sealing.records = records;
            life.sealing.per_pair = 0;
        }
        Ok(life)
    }
}

impl Config {
    /// When something is an incident.
    fn incidents(&self, path: Option<&Path>) -> Result<signals::Settings, Failure> {
        let mut settings = signals::Settings::default();
        let texts = self.incidents.clone().unwrap_or_default();
        let ten_seconds_us = 10_000_000;
        for (key, text, least_us, us) in [
            ("agent_silent_after", texts.agent_silent_after, ten_seconds_us, &mut settings.agent_silent_after_us),
            ("certificate_within", texts.certificate_within, 0, &mut settings.certificate_within_us),
            ("domain_within", texts.domain_within, 0, &mut settings.domain_within_us),
        ] {
            let Some(text) = text else { continue };
            let read = duration::parse(&text).map_err(|error| error.to_string());
            let read = read.and_then(|us| match i64::try_from(us) {
                Ok(us) if us >= least_us => Ok(us),
                Ok(_) => Err(format!("at least {} is needed", duration::format(least_us.unsigned_abs()))),
                Err(_) => Err("this is too long".to_owned()),
            });
            *us = read.map_err(|why| {
                let (exit, place) = place(false, &format!("incidents.{key}"), path);
                Failure::new(exit, format!("{place}: {why}"))
            })?;
        }
        Ok(settings)
    }
}

/// TLS files, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Everything that `serve` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) data_dir: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) listen: SocketAddr,
    pub(super) advertise: Vec<String>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) log: Option<String>,
    pub(super) life: Life,
    pub(super) audit_us: Option<u64>,
    pub(super) console: Option<String>,
    pub(super) front: Front,
    pub(super) status_url: Option<String>,
    pub(super) incidents: signals::Settings,
    pub(super) egress: EgressTexts,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) wording: Option<Wording>,
    pub(super) oidc: Option<oidc::settings::Settings>,
}

impl Settings {
    /// Reads the file, and puts the flags before it.
    pub(super) fn gather(global: &Global, args: &ServeArgs) -> Result<Self, Failure> {
        let config: Config = match &args.config {
            Some(path) => config::load(path).map_err(|error| Failure::new(Exit::Config, error.to_string()))?,
            None => Config::default(),
        };
        let from = args.config.as_deref();
        let http = address("http", args.http.as_deref(), config.http.as_deref(), HTTP_DEFAULT, from)?;
        let listen = address("listen", args.listen.as_deref(), config.listen.as_deref(), LISTEN_DEFAULT, from)?;
        let life = config.life(from)?;
        let audit_us = config.audit_us(from)?;
        let console = config.console_url(from)?;
        let front = config.front();
        let status_url = config.status_url(from)?;
        let incidents = config.incidents(from)?;
        let watchdog = config.watchdog.map(|texts| Watchdog::new(&texts.url, texts.every.as_deref())).transpose();
        let watchdog = watchdog.map_err(|(key, why)| {
            let (exit, place) = place(false, &format!("watchdog.{key}"), from);
            Failure::new(exit, format!("{place}: {why}"))
        })?;
        let wording = config.wording.as_ref().map(Wording::new).transpose();
        let wording = wording.map_err(|(key, why)| {
            let (exit, place) = place(false, &format!("wording.{key}"), from);
            Failure::new(exit, format!("{place}: {why}"))
        })?;
        let oidc = config.oidc.map(oidc::settings::Settings::new).transpose().map_err(|(key, why)| {
            let (exit, place) = place(false, &format!("oidc.{key}"), from);
            Failure::new(exit, format!("{place}: {why}"))
        })?;
        let flags = !args.advertise.is_empty();
        let advertise = if flags { args.advertise.clone() } else { config.advertise.unwrap_or_default() };
        for one in &advertise {
            if !host_and_port(one) {
                let (exit, place) = place(flags, "advertise", from);
                return Err(Failure::new(
                    exit,
                    format!("{place}: {one:?} is not HOST:PORT, like collector.example:8443"),
                ));
            }
        }
        Ok(Self {
            data_dir: global.data_dir.clone().or(config.data_dir).unwrap_or_else(default_data_dir),
            http,
            listen,
            advertise,
            tls: config.http_tls.map(|tls| TlsFiles { certificate: tls.certificate, key: tls.key }),
            log: config.log,
            egress: config.egress.unwrap_or_default(),
            life,
            audit_us,
            console,
            front,
            status_url,
            incidents,
            watchdog,
            wording,
            oidc,
        })
    }
}

impl Settings {
    /// The keys that refer to secrets, each with the secret's name.
    pub(super) fn secrets(&self) -> BTreeMap<String, String> {
        let client = self.oidc.as_ref().and_then(|oidc| match &oidc.client_secret {
            ClientSecret::Named(name) => Some(name.clone()),
            ClientSecret::None | ClientSecret::File(_) => None,
        });
        let all = [
            ("oidc.client_secret", client),
            ("wording.key", self.wording.as_ref().and_then(Wording::secret)),
            ("watchdog.url", self.watchdog.as_ref().and_then(Watchdog::secret)),
        ];
        all.into_iter().filter_map(|(key, name)| Some((key.to_owned(), name?))).collect()
    }
}

/// How a bad value is told: by the flag or the file it came from.
fn place(flag: bool, key: &str, file: Option<&Path>) -> (Exit, String) {
    match file {
        Some(file) if !flag => (Exit::Config, format!("{}: {key}", file.display())),
        Some(_) | None => (Exit::Usage, format!("--{key}")),
    }
}

fn address(
    key: &str,
    flag: Option<&str>,
    file: Option<&str>,
    default: &str,
    path: Option<&Path>,
) -> Result<SocketAddr, Failure> {
    let text = flag.or(file).unwrap_or(default);
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_string(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| {
        let (exit, place) = place(flag.is_some(), key, path);
        Failure::new(exit, format!("{place}: {text:?} is not ADDRESS:PORT, like {default}"))
    })
}

fn host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let known = bare.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_'));
        !bare.is_empty()
            && known
            && (host.starts_with('[') || !host.contains(':'))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global() -> Global {
        Global { data_dir: Some("/d".into()), url: None, token: None, json: false }
    }

    fn gather(text: &str, args: ServeArgs) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collector.toml");
        std::fs::write(&path, text).unwrap();
        let args = ServeArgs { config: Some(path), ..args };
        Settings::gather(&global(), &args).map_err(|failure| failure.message)
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "http = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\nadvertise = [\"c.example:3\"]\n[http_tls]\ncertificate = \"c\"\nkey = \"k\"\n";
        let settings = gather(text, ServeArgs { http: Some("localhost:9".into()), ..ServeArgs::default() }).unwrap();
        assert_eq!(settings.http.to_string(), "127.0.0.1:9");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:2");
        assert_eq!(settings.advertise, ["c.example:3"]);
        assert_eq!(settings.data_dir, Path::new("/d"));
        assert!(settings.tls.is_some());
    }

    #[test]
    fn bad_settings_name_their_place() {
        let unknown = gather("htpp = \"x\"\n", ServeArgs::default()).unwrap_err();
        assert!(unknown.contains("collector.toml:1:1") && unknown.contains("htpp"), "{unknown}");
        let address = gather("http = \"nowhere\"\n", ServeArgs::default()).unwrap_err();
        assert!(
            address.ends_with("collector.toml: http: \"nowhere\" is not ADDRESS:PORT, like 127.0.0.1:8080"),
            "{address}"
        );
        let flag = gather("", ServeArgs { listen: Some("8443".into()), ..ServeArgs::default() }).unwrap_err();
        assert_eq!(flag, "--listen: \"8443\" is not ADDRESS:PORT, like 0.0.0.0:8443");
        let advertise = gather("", ServeArgs { advertise: vec!["a b:1".into()], ..ServeArgs::default() }).unwrap_err();
        assert!(advertise.starts_with("--advertise: \"a b:1\" is not HOST:PORT"), "{advertise}");
    }

    #[test]
    fn the_sample_configuration_parses_with_every_key() {
        let sample = include_str!("../../../packaging/config/collector.toml");
        let is_setting =
            |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let lines = sample.lines().map(|line| line.strip_prefix("# ").filter(|line| is_setting(line)).unwrap_or(line));
        let config: Config = toml::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(config.http.as_deref(), Some(HTTP_DEFAULT));
        assert_eq!(config.listen.as_deref(), Some(LISTEN_DEFAULT));
        assert!(
            config.data_dir.is_some()
                && config.advertise.is_some()
                && config.log.is_some()
                && config.http_tls.is_some()
        );
        // A number of records that is written down is meant exactly.
        let mut life = Life::default();
        life.sealing.per_pair = 0;
        assert_eq!(config.life(None).unwrap(), life);
        assert!(config.retention.is_some() && config.sealing.is_some() && config.watchdog.is_some());
        assert!(Wording::new(&config.wording.unwrap()).is_ok());
        assert!(config.egress.is_some_and(|egress| egress.allow.is_some() && egress.ca.is_some()));
    }

    #[test]
    fn the_life_of_results_is_read_from_the_file() {
        let settings = gather(
            "[retention]\nraw = \"30d\"\ndaily = \"800d\"\n[sealing]\nafter = \"1s\"\nrecords = 5\n",
            ServeArgs::default(),
        )
        .unwrap();
        let day_us = 86_400 * 1_000_000;
        let kept = settings.life.retention;
        assert_eq!(
            (kept.raw_us, kept.hourly_us, kept.daily_us),
            (Some(30 * day_us), Some(400 * day_us), Some(800 * day_us))
        );
        assert_eq!((settings.life.sealing.after_us, settings.life.sealing.records), (1_000_000, 5));
        assert_eq!(gather("", ServeArgs::default()).unwrap().life, Life::default());
        let short = gather("[retention]\nraw = \"1h\"\n", ServeArgs::default()).unwrap_err();
        assert!(short.ends_with("collector.toml: retention.raw: at least 2d must be kept"), "{short}");
        let watchdog = gather("[watchdog]\nurl = \"hc.example\"\n", ServeArgs::default()).unwrap_err();
        assert!(watchdog.contains("collector.toml: watchdog.url: write https://"), "{watchdog}");
        let wording = gather("[wording]\nurl = \"llm.example\"\nmodel = \"m\"\n", ServeArgs::default()).unwrap_err();
        assert!(wording.contains("collector.toml: wording.url: write the address"), "{wording}");
        let days = gather("[retention]\ndaily = \"300d\"\n", ServeArgs::default()).unwrap_err();
        assert!(days.contains("retention.daily: days must be kept at least as long"), "{days}");
    }

    #[test]
    fn what_stands_in_front_is_read_from_the_file() {
        let front = |text: &str| gather(text, ServeArgs::default()).unwrap().front;
        assert_eq!(front(""), Front::default());
        let url = "[console]\nurl = \"https://status.example\"\n";
        assert_eq!(front(url), Front { secure: true, proxied: true, forwarded: false });
        let both = format!("{url}trust_forwarded_for = true\nopen_metrics = true\n");
        assert_eq!(front(&both), Front { secure: true, proxied: false, forwarded: true });
    }

    #[test]
    fn a_collector_is_named_by_host_and_port() {
        for good in ["a.example:1", "[::1]:1", "10.0.0.1:65535"] {
            assert!(host_and_port(good), "{good}");
        }
        for bad in ["a", "a:0", ":1", "::1:1", "a:x", "a/b:1"] {
            assert!(!host_and_port(bad), "{bad}");
        }
    }
}
