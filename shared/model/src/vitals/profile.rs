//! Device profiles: what the browser pretends to be, and which values are good there.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{CLS_SCALE, Rating, Vital};
use crate::check::DurationUs;

/// A decimal number in thousandths: `1.75` is 1750.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u32);

impl Milli {
    /// One.
    pub const ONE: Self = Self(1_000);

    /// As a floating-point number.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1e3
    }
}

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1_000) {
            serializer.serialize_u32(self.0 / 1_000)
        } else {
            serializer.serialize_f64(self.get())
        }
    }
}

impl<'de> Deserialize<'de> for Milli {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Milli;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 4000000 with at most three decimals, as in 1.75")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Milli, E> {
                let thousandths = value * 1e3;
                // `f64::round` is not in `core`.
                let whole = (thousandths + 0.5) as u32;
                let off = thousandths - f64::from(whole);
                if !(0.0..=4e9).contains(&thousandths) || !(-1e-3..=1e-3).contains(&off) {
                    return Err(E::invalid_value(de::Unexpected::Float(value), &self));
                }
                Ok(Milli(whole))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Milli, E> {
                self.visit_f64(value as f64)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Milli, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// A network slower than the real one, as the page is to meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Round trip.
    pub rtt: DurationUs,
    /// Down, in kilobits per second.
    pub down_kbps: Milli,
    /// Up, in kilobits per second.
    pub up_kbps: Milli,
}

impl Link {
    /// What a browser's request-level throttling is told for this link: latency in milliseconds, bytes per second down and up. The factors
    /// (3.75 on the round trip, 0.9 on the throughput) are those that make request-level throttling come out like packet-level throttling.
    pub fn devtools(&self) -> (f64, f64, f64) {
        let bytes = |kbps: Milli| kbps.get() * 1000.0 / 8.0 * 0.9;
        (self.rtt.0 as f64 / 1e3 * 3.75, bytes(self.down_kbps), bytes(self.up_kbps))
    }
}

/// Up to which value a vital is good, and above which it is poor; in the vital's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Good up to here.
    pub good: u64,
    /// Poor above this.
    pub poor: u64,
}

impl Threshold {
    /// How a value is to be taken.
    pub const fn rate(self, value: u64) -> Rating {
        if value <= self.good {
            Rating::Good
        } else if value <= self.poor {
            Rating::NeedsImprovement
        } else {
            Rating::Poor
        }
    }
}

/// The thresholds of all vitals. Written as pairs: `lcp = ["2.5s", "4s"]`, `cls = [0.1, 0.25]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Largest Contentful Paint.
    pub lcp: [DurationUs; 2],
    /// Cumulative Layout Shift.
    pub cls: [Milli; 2],
    /// Interaction to Next Paint.
    pub inp: [DurationUs; 2],
    /// Total Blocking Time.
    pub tbt: [DurationUs; 2],
    /// First Contentful Paint.
    pub fcp: [DurationUs; 2],
    /// Time To First Byte.
    pub ttfb: [DurationUs; 2],
}

impl Default for Thresholds {
    fn default() -> Self {
        let ms = |good: u64, poor: u64| [DurationUs(good * 1_000), DurationUs(poor * 1_000)];
        Self {
            lcp: ms(2_500, 4_000),
            cls: [Milli(100), Milli(250)],
            inp: ms(200, 500),
            tbt: ms(200, 600),
            fcp: ms(1_800, 3_000),
            ttfb: ms(800, 1_800),
        }
    }
}

impl Thresholds {
    /// Those of one vital.
    pub fn of(&self, vital: Vital) -> Threshold {
        let durations = match vital {
            Vital::Lcp => &self.lcp,
            Vital::Inp => &self.inp,
            Vital::Tbt => &self.tbt,
            Vital::Fcp => &self.fcp,
            Vital::Ttfb => &self.ttfb,
            Vital::Cls => {
                let [good, poor] = self.cls.map(|score| u64::from(score.0) * CLS_SCALE / 1_000);
                return Threshold { good, poor };
            }
        };
        let [good, poor] = durations.map(|duration| duration.0);
        Threshold { good, poor }
    }
}

/// A device as the browser pretends to be it, with all its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name: a slug.
    pub name: String,
    /// Width of the viewport, CSS pixels.
    pub width: u32,
    /// Height of the viewport, CSS pixels.
    pub height: u32,
    /// Device pixels per CSS pixel.
    pub dpr: Milli,
    /// A mobile browser: viewport meta tags count, and it says so.
    pub mobile: bool,
    /// A touch screen.
    pub touch: bool,
    /// How much slower the processor is than the real one, 1 to 20.
    pub cpu: Milli,
    /// A slower network; absent: the real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Link>,
    /// What the browser says it is; absent: what it would say, without its being headless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Which values are good.
    #[serde(default)]
    pub thresholds: Thresholds,
}

impl Profile {
    /// The names of the built-in profiles.
    pub const NAMES: [&'static str; 2] = ["mobile", "desktop"];

    /// A built-in profile.
    pub fn builtin(name: &str) -> Option<Self> {
        let link = |rtt_ms: u64, down: u32, up: u32| {
            Some(Link { rtt: DurationUs(rtt_ms * 1_000), down_kbps: Milli(down), up_kbps: Milli(up) })
        };
        let desktop = Self {
            name: "desktop".to_owned(),
            width: 1_350,
            height: 940,
            dpr: Milli::ONE,
            mobile: false,
            touch: false,
            cpu: Milli::ONE,
            network: link(40, 10_240_000, 10_240_000),
            user_agent: None,
            thresholds: Thresholds::default(),
        };
        match name {
            "desktop" => Some(desktop),
            "mobile" => Some(Self {
                name: "mobile".to_owned(),
                width: 412,
                height: 823,
                dpr: Milli(1_750),
                mobile: true,
                touch: true,
                cpu: Milli(4_000),
                network: link(150, 1_638_400, 750_000),
                ..desktop
            }),
            _ => None,
        }
    }

    /// The same device on the real processor and the real network.
    pub fn without_throttling(self) -> Self {
        Self { cpu: Milli::ONE, network: None, ..self }
    }

    /// Whether the processor is slowed down: such a run needs the machine to itself.
    pub const fn is_throttled(&self) -> bool {
        self.cpu.0 > Milli::ONE.0
    }
}

/// An own profile as a check file describes it under `[profile.NAME]`: a built-in one and what differs from it. The keys are those of [`Profile`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnProfile {
    /// The built-in profile that all else is taken from; absent: `desktop`.
    pub base: Option<String>,
    /// See [`Profile::width`].
    pub width: Option<u32>,
    /// See [`Profile::height`].
    pub height: Option<u32>,
    /// See [`Profile::dpr`].
    pub dpr: Option<Milli>,
    /// See [`Profile::mobile`].
    pub mobile: Option<bool>,
    /// See [`Profile::touch`].
    pub touch: Option<bool>,
    /// See [`Profile::cpu`].
    pub cpu: Option<Milli>,
    /// See [`Profile::network`].
    pub network: Option<OwnLink>,
    /// See [`Profile::user_agent`].
    pub user_agent: Option<String>,
    /// See [`Profile::thresholds`]; vitals that are not named keep the default.
    pub thresholds: Option<Thresholds>,
}

/// The network of an own profile: `"none"`, the real one; or what differs from that of the profile it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnLink {
    /// The real network.
    None,
    /// Some of a slower one.
    Some(LinkChanges),
}

/// See [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "named as in Link")]
pub struct LinkChanges {
    pub rtt: Option<DurationUs>,
    pub down_kbps: Option<Milli>,
    pub up_kbps: Option<Milli>,
}

impl OwnProfile {
    /// The profile that is described, not yet judged: see [`Profile::faults`].
    ///
    /// # Errors
    /// The name of the base, where it is no built-in profile.
    pub fn resolve(&self, name: &str) -> Result<Profile, String> {
        let base = self.base.as_deref().unwrap_or("desktop");
        let base = Profile::builtin(base).ok_or_else(|| base.to_owned())?;
        let network = match (self.network, base.network) {
            (None, network) => network,
            (Some(OwnLink::None), _) => None,
            (Some(OwnLink::Some(changes)), link) => link.map(|link| Link {
                rtt: changes.rtt.unwrap_or(link.rtt),
                down_kbps: changes.down_kbps.unwrap_or(link.down_kbps),
                up_kbps: changes.up_kbps.unwrap_or(link.up_kbps),
            }),
        };
        Ok(Profile {
            name: name.to_owned(),
            width: self.width.unwrap_or(base.width),
            height: self.height.unwrap_or(base.height),
            dpr: self.dpr.unwrap_or(base.dpr),
            mobile: self.mobile.unwrap_or(base.mobile),
            touch: self.touch.unwrap_or(base.touch),
            cpu: self.cpu.unwrap_or(base.cpu),
            network,
            user_agent: self.user_agent.clone().or(base.user_agent),
            thresholds: self.thresholds.unwrap_or(base.thresholds),
        })
    }
}

impl<'de> Deserialize<'de> for OwnLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = OwnLink;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", or a table as in { rtt = \"40ms\", down_kbps = 10240, up_kbps = 10240 }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OwnLink, E> {
                match text {
                    "none" => Ok(OwnLink::None),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<OwnLink, A::Error> {
                LinkChanges::deserialize(de::value::MapAccessDeserializer::new(keys)).map(OwnLink::Some)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

/// The profile of a check: a built-in one by its name, or an own one with all it says. A check file names own ones too (`[profile.NAME]`); they
/// are put in when it is read, so that a check carries what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileChoice {
    /// By name.
    Named(String),
    /// In full.
    Own(alloc::boxed::Box<Profile>),
}

impl Default for ProfileChoice {
    fn default() -> Self {
        Self::Named("mobile".to_owned())
    }
}

impl ProfileChoice {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Own(profile) => &profile.name,
        }
    }

    /// The profile that is meant; `None` for a name that is none.
    pub fn resolve(&self) -> Option<Profile> {
        match self {
            Self::Named(name) => Profile::builtin(name),
            Self::Own(profile) => Some((**profile).clone()),
        }
    }
}

impl Serialize for ProfileChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Own(profile) => profile.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ProfileChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = ProfileChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&format!("a profile's name ({} or one of the file's own)", Profile::NAMES.join(", ")))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ProfileChoice, E> {
                Ok(ProfileChoice::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<ProfileChoice, A::Error> {
                Profile::deserialize(de::value::MapAccessDeserializer::new(keys))
                    .map(|profile| ProfileChoice::Own(alloc::boxed::Box::new(profile)))
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mobile_is_slow_4g_as_devtools_says_it() {
        let mobile = Profile::builtin("mobile").unwrap();
        let (latency, down, up) = mobile.network.unwrap().devtools();
        assert_eq!(latency, 562.5);
        assert!((down * 8.0 / 1000.0 - 1474.56).abs() < 1e-6, "{down}");
        assert!((up * 8.0 / 1000.0 - 675.0).abs() < 1e-6, "{up}");
        assert!(mobile.is_throttled() && !mobile.without_throttling().is_throttled());
        assert!(!Profile::builtin("desktop").unwrap().is_throttled());
        assert_eq!(Profile::builtin("tablet"), None);
    }

    #[test]
    fn a_profile_reads_as_it_is_written() {
        for name in Profile::NAMES {
            let profile = Profile::builtin(name).unwrap();
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile, "{json}");
            let own = ProfileChoice::Own(alloc::boxed::Box::new(profile));
            let json = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<ProfileChoice>(&json).unwrap(), own);
        }
        let named: ProfileChoice = serde_json::from_str("\"mobile\"").unwrap();
        assert_eq!(named, ProfileChoice::default());
        assert_eq!(serde_json::from_str::<Milli>("1.75").unwrap(), Milli(1_750));
        assert_eq!(serde_json::from_str::<Milli>("4").unwrap(), Milli(4_000));
        assert!(serde_json::from_str::<Milli>("-1").is_err());
        assert!(serde_json::from_str::<Milli>("0.12345").is_err());
    }

    #[test]
    fn values_are_rated_at_the_edges() {
        let thresholds = Thresholds::default();
        let lcp = thresholds.of(Vital::Lcp);
        assert_eq!(lcp.rate(2_500_000), Rating::Good);
        assert_eq!(lcp.rate(2_500_001), Rating::NeedsImprovement);
        assert_eq!(lcp.rate(4_000_001), Rating::Poor);
        assert_eq!(thresholds.of(Vital::Cls), Threshold { good: 1_000, poor: 2_500 });
    }
}
