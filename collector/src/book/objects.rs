//! What is written as code beside checks, with its history: accounting policies, service level objectives, maintenance windows, channels, escalation policies.
//!
//! A change makes a new version that applies from its own instant on; old versions stay, so that an old report can be made again.
//!
//! A kind of object is a structure that says how it is written and judged ([`Coded`]), and one line in the list of `kinds!` below: reading files, planning,
//! storing and loading are the same for all.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer, Serialize};
use sitepulse_model::accounting::AccountingPolicy;
use sitepulse_model::channel::Channel;
use sitepulse_model::coded::{Fault, Reference};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::impact::model::ScoringModel;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::oncall::Schedule;
use sitepulse_model::playbook::Playbook;
use sitepulse_model::slo::Slo;
use sitepulse_model::status_page::StatusPage;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::user::User;

mod coded;

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised<T> {
    /// Counts from 1.
    pub version: u32,
    /// Applies from here on; later than the version's before.
    pub effective_from: UtcMicros,
    /// Whether the object ends here (the body is then the last one's).
    pub retired: bool,
    /// Who applied it: `collector:cli`, `collector:USER`.
    pub author: String,
    /// What it says.
    pub body: T,
}

impl<T> Revised<T> {
    /// The same version of another body.
    pub fn map<U>(self, body: impl FnOnce(T) -> U) -> Revised<U> {
        let Self { version, effective_from, retired, author, body: old } = self;
        Revised { version, effective_from, retired, author, body: body(old) }
    }
}

/// The histories of all objects of one kind, by id.
#[derive(Debug, Clone)]
pub struct Histories<T> {
    by_id: BTreeMap<String, Vec<Revised<T>>>,
}

impl<T> Default for Histories<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new() }
    }
}

impl<T> Histories<T> {
    /// Adds the next version of an object.
    pub fn push(&mut self, id: &str, revised: Revised<T>) {
        self.by_id.entry(id.to_owned()).or_default().push(revised);
    }

    /// Every object with its versions, oldest first, by id; ended ones too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Revised<T>])> {
        self.by_id.iter().map(|(id, versions)| (id.as_str(), versions.as_slice()))
    }

    /// The objects that apply now, by id.
    pub fn living(&self) -> impl Iterator<Item = (&str, &Revised<T>)> {
        let newest = self.by_id.iter().filter_map(|(id, versions)| Some((id.as_str(), versions.last()?)));
        newest.filter(|(_, revised)| !revised.retired)
    }

    /// The versions of an object, oldest first; none of an unknown one.
    pub fn versions(&self, id: &str) -> &[Revised<T>] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    /// A version of an object.
    pub fn version(&self, id: &str, version: u32) -> Option<&Revised<T>> {
        self.versions(id).iter().find(|revised| revised.version == version)
    }

    /// The version that applied at an instant; `None` before the first and after the end.
    pub fn at(&self, id: &str, at: UtcMicros) -> Option<&Revised<T>> {
        self.versions(id).iter().rev().find(|revised| revised.effective_from <= at).filter(|revised| !revised.retired)
    }

    /// The version that applies now; `None` of an ended object.
    pub fn current(&self, id: &str) -> Option<&Revised<T>> {
        self.versions(id).last().filter(|revised| !revised.retired)
    }
}

/// What a kind of object says about itself.
pub trait Coded: Clone + Serialize + DeserializeOwned {
    /// The keys of its table, in the order they are documented.
    const KEYS: &'static [&'static str];

    /// Its id.
    fn id(&self) -> &str;

    /// Reads a table, or what [`Self::json`] wrote, in this build or an earlier one. The values are not judged: a build with stricter rules must still open the
    /// database.
    ///
    /// # Errors
    /// What the structure cannot take.
    fn read<'de, D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Self::deserialize(reader)
    }

    /// As stored, without its version. Two objects are the same where this is.
    fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always serialize")
    }

    /// Everything that is wrong with its values, but for what it refers to.
    fn faults(&self) -> Vec<Fault>;

    /// The names that must lead to something; of most kinds none.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// What to write for a missing key.
    fn sample(key: &str) -> &'static str;
}

/// Makes of one line for each kind of object all that must know the kinds.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident => $histories:ident: $object:ty, $table:literal, $code:literal;)+) => {
        /// A kind of object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ObjectKind {
            $($(#[$doc])+ $kind,)+
        }

        impl ObjectKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The name of its tables in check files: `slo`.
            pub const fn table(self) -> &'static str {
                match self {
                    $(Self::$kind => $table,)+
                }
            }

            /// How it is stored. Fixed once released.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$kind => $code,)+
                }
            }

            /// The kind of a stored code.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.code() == code)
            }

            /// The keys of its table.
            pub const fn keys(self) -> &'static [&'static str] {
                match self {
                    $(Self::$kind => <$object as Coded>::KEYS,)+
                }
            }

            /// What to write for a missing key.
            pub fn sample(self, key: &str) -> &'static str {
                match self {
                    $(Self::$kind => <$object as Coded>::sample(key),)+
                }
            }

            /// Reads an object. See [`Coded::read`].
            ///
            /// # Errors
            /// What the structure cannot take.
            pub fn read<'de, D: Deserializer<'de>>(self, reader: D) -> Result<Object, D::Error> {
                match self {
                    $(Self::$kind => <$object as Coded>::read(reader).map(Object::$kind),)+
                }
            }
        }

        /// An object of any kind.
        #[derive(Debug, Clone)]
        pub enum Object {
            $($(#[$doc])+ $kind($object),)+
        }

        impl Object {
            /// Its kind.
            pub const fn kind(&self) -> ObjectKind {
                match self {
                    $(Self::$kind(_) => ObjectKind::$kind,)+
                }
            }

            /// Its id.
            pub fn id(&self) -> &str {
                match self {
                    $(Self::$kind(object) => Coded::id(object),)+
                }
            }

            /// As stored. See [`Coded::json`].
            pub fn json(&self) -> String {
                match self {
                    $(Self::$kind(object) => object.json(),)+
                }
            }

            /// Everything that is wrong with its values.
            pub fn faults(&self) -> Vec<Fault> {
                match self {
                    $(Self::$kind(object) => Coded::faults(object),)+
                }
            }

            /// The names that must lead to something.
            pub fn references(&self) -> Vec<Reference> {
                match self {
                    $(Self::$kind(object) => Coded::references(object),)+
                }
            }
        }

        /// All objects.
        #[derive(Debug, Clone, Default)]
        pub struct Objects {
            $($(#[$doc])+ pub $histories: Histories<$object>,)+
        }

        impl Objects {
            /// Adds the next version of an object.
            pub(crate) fn push(&mut self, revised: Revised<Object>) {
                match &revised.body {
                    $(Object::$kind(object) => {
                        let (id, object) = (Coded::id(object).to_owned(), object.clone());
                        self.$histories.push(&id, revised.map(|_| object));
                    })+
                }
            }

            /// The newest version of an object, its end too.
            pub fn newest(&self, kind: ObjectKind, id: &str) -> Option<Revised<Object>> {
                match kind {
                    $(ObjectKind::$kind => {
                        self.$histories.versions(id).last().cloned().map(|revised| revised.map(Object::$kind))
                    })+
                }
            }

            /// Every version of an object, oldest first.
            pub fn versions(&self, kind: ObjectKind, id: &str) -> Vec<Revised<Object>> {
                match kind {
                    $(ObjectKind::$kind => {
                        self.$histories.versions(id).iter().map(|revised| revised.clone().map(Object::$kind)).collect()
                    })+
                }
            }

            /// Every version of every object, by kind and id, oldest first.
            pub fn all(&self) -> Vec<Revised<Object>> {
                let mut all = Vec::new();
                $(for (_, versions) in self.$histories.iter() {
                    all.extend(versions.iter().map(|revised| revised.clone().map(Object::$kind)));
                })+
                all
            }

            /// Every object that applies now, by kind and id.
            pub fn living(&self) -> Vec<Revised<Object>> {
                let mut living = Vec::new();
                $(living.extend(self.$histories.living().map(|(_, revised)| revised.clone().map(Object::$kind)));)+
                living
            }
        }
    };
}

kinds! {
    /// How time counts.
    Policy => policies: AccountingPolicy, "policy", 1;
    /// What was promised.
    Slo => slos: Slo, "slo", 2;
    /// When work is planned.
    Maintenance => windows: MaintenanceWindow, "maintenance", 3;
    /// By which way messages go out.
    Channel => channels: Channel, "channel", 4;
    /// Whom to tell of incidents.
    Escalation => escalations: EscalationPolicy, "escalation", 5;
    /// Who is on call when.
    Schedule => schedules: Schedule, "schedule", 6;
    /// Who is told.
    User => users: User, "user", 7;
    /// What everybody is shown.
    StatusPage => status_pages: StatusPage, "status_page", 8;
    /// What makes a score.
    Scoring => scorings: ScoringModel, "scoring", 9;
    /// What to do about a trouble.
    Playbook => playbooks: Playbook, "playbook", 10;
}

impl Object {
    /// Reads what [`Self::json`] wrote.
    ///
    /// # Errors
    /// What the structure cannot take.
    pub fn from_json(kind: ObjectKind, json: &str) -> Result<Self, serde_json::Error> {
        let value = serde_json::Value::deserialize(&mut serde_json::Deserializer::from_str(json))?;
        kind.read(value)
    }
}
