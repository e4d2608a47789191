//! Device profiles: the `[profile.NAME]` tables of a file, and the check that names one.

use serde::Deserialize as _;
use sitepulse_model::vitals::profile::{OwnProfile, Profile, ProfileChoice};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use super::target::place;
use super::words::{a_type, either};

impl Reader<'_> {
    /// The profiles that the file describes.
    pub(super) fn profiles(&mut self, value: &Spanned<DeValue<'_>>, at: usize) {
        let DeValue::Table(profiles) = value.get_ref() else {
            self.error(at, "\"profile\" holds profiles by their names: write [profile.NAME]");
            return;
        };
        for (name, described) in profiles {
            let at = name.span().start;
            let name = name.get_ref().to_string();
            let DeValue::Table(keys) = described.get_ref() else {
                let found = a_type(described.get_ref());
                self.error(at, format!("{name:?} is {found}: a profile is a table, write [profile.NAME]"));
                continue;
            };
            self.object = Some(format!("profile {name:?}"));
            let profile = self.profile(&name, at, keys);
            self.object = None;
            self.own_profiles.insert(name, profile);
        }
    }

    /// A profile; `None` where something is wrong with it, which is told then.
    fn profile(&mut self, name: &str, at: usize, keys: &DeTable<'_>) -> Option<Profile> {
        let entry = at..at;
        let reader = toml::de::Deserializer::from(Spanned::new(entry.clone(), keys.clone()));
        let described = match OwnProfile::deserialize(reader) {
            Ok(described) => described,
            Err(error) => {
                self.misread("profile", &entry, keys, &error);
                return None;
            }
        };
        let profile = match described.resolve(name) {
            Ok(profile) => profile,
            Err(base) => {
                let at = place(keys, "base").unwrap_or(at);
                self.error(at, format!("base: {base:?} is not built in: use {}", either(&Profile::NAMES)));
                return None;
            }
        };
        let faults = profile.faults();
        for fault in &faults {
            self.error(place(keys, &fault.field).unwrap_or(at), fault.to_string());
        }
        faults.is_empty().then_some(profile)
    }

    /// The profile that a check names; `None` where there is none of that name, or something is wrong with it: told in either case.
    pub(super) fn profile_choice(&mut self, value: &Spanned<DeValue<'_>>) -> Option<ProfileChoice> {
        let DeValue::String(name) = value.get_ref() else {
            let found = a_type(value.get_ref());
            let message =
                format!("profile is {found}: write a name, like \"mobile\", and describe an own one as [profile.NAME]");
            self.error(value.span().start, message);
            return None;
        };
        let name = name.as_ref();
        if let Some(own) = self.own_profiles.get(name) {
            return own.clone().map(|profile| ProfileChoice::Own(Box::new(profile)));
        }
        if Profile::builtin(name).is_some() {
            return Some(ProfileChoice::Named(name.to_owned()));
        }
        let known: Vec<&str> = Profile::NAMES.into_iter().chain(self.own_profiles.keys().map(String::as_str)).collect();
        let known = known.join(", ");
        let message = format!(
            "profile: {name:?} is no profile: known are {known}; describe an own one in this file as [profile.NAME]"
        );
        self.error(value.span().start, message);
        None
    }
}
