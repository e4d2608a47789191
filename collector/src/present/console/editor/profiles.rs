//! The device of a page's check, by its profile's name: built in, described in the check's file, or that of another check. An own profile belongs to the
//! file of each check that names it, so choosing another check's writes it down there.

use sitepulse_model::check::CheckKind;
use sitepulse_model::vitals::profile::{Profile, ProfileChoice};
use toml::{Table, Value};

use super::{Choice, Field, Input};
use crate::book::{Book, Check};
use crate::checkfile::compose::table;
use crate::present::text::Texts;

/// The table of a file that describes profiles.
const TABLE: &str = "profile";

/// The own profiles of checks, by their names: of two of one name the one of the first check.
#[derive(Debug, Default)]
pub(super) struct Profiles(Table);

impl Profiles {
    /// Those of all checks that are not retired.
    pub(super) fn of(book: &Book) -> Self {
        let mut found = Table::new();
        for current in book.checks().filter_map(Check::current) {
            let CheckKind::WebVitals(target) = &current.definition.kind else { continue };
            let ProfileChoice::Own(profile) = &target.profile else { continue };
            if found.contains_key(&profile.name) {
                continue;
            }
            // What a file cannot say is not offered.
            if let Ok((_, mut others)) = table(&current.definition, &current.labels)
                && let Some(Value::Table(described)) = others.remove(TABLE)
            {
                found.extend(described);
            }
        }
        Self(found)
    }

    /// Describes a profile of another check in a file's other tables, where these do not.
    pub(super) fn describe(&self, name: &str, others: &mut Table) {
        let Some(described) = self.0.get(name) else { return };
        let own = others.entry(TABLE).or_insert_with(|| Table::new().into());
        if let Value::Table(own) = own {
            own.entry(name).or_insert_with(|| described.clone());
        }
    }

    /// The field that chooses one; `file` may describe some, too.
    pub(super) fn field(&self, name: &str, file: &str, t: &Texts) -> Field {
        let chosen = if name.is_empty() { Profile::NAMES[0] } else { name };
        let whole: Table = toml::from_str(file).unwrap_or_default();
        let of_file = whole.get(TABLE).and_then(Value::as_table).into_iter().flat_map(Table::keys);
        let mut names: Vec<&str> = Profile::NAMES.to_vec();
        for name in of_file.chain(self.0.keys()).map(String::as_str).chain([chosen]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let choices = names.iter().map(|name| Choice { value: (*name).to_owned(), label: (*name).to_owned() });
        Field {
            label: t.page.profile.to_owned(),
            hint: t.page.profile_hint.to_owned(),
            input: Input::Select(choices.collect()),
            ..Field::text("profile", chosen)
        }
    }
}
