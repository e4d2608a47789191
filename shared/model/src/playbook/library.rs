//! The playbooks that are there without anybody writing anything: for every kind of incident and every kind of finding, in English and French.
//!
//! They assume nothing but a shell with `dig`, `curl` and `openssl`, and the collector's own command line. Own ones of the same kind come before them.

mod findings;
mod incidents;

use alloc::string::String;
use alloc::vec::Vec;

use super::{Playbook, Step};
use crate::incident::IncidentKind;
use crate::insight;

/// The version of everything here, in runs and on pages.
pub const VERSION: &str = "built-in";

/// Words in English and in French.
type Words = (&'static str, &'static str);

/// Who does a step.
const ON_CALL: Words = ("on call", "astreinte");
const OWNER: Words = ("service owner", "responsable du service");
const OPERATIONS: Words = ("operations", "exploitation");
const LEAD: Words = ("incident lead", "pilote de l’incident");

/// A playbook as it is written here.
struct Written {
    id: &'static str,
    title: Words,
    incidents: &'static [IncidentKind],
    findings: &'static [insight::Kind],
    check_kinds: &'static [&'static str],
    steps: &'static [WrittenStep],
}

/// A step as it is written here. An empty text is none.
struct WrittenStep {
    id: &'static str,
    title: Words,
    text: Words,
    minutes: u32,
    role: Words,
    link: &'static str,
    command: &'static str,
    done_when: &'static str,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| String::from(text))
}

impl WrittenStep {
    fn made(&self) -> Step {
        Step {
            id: String::from(self.id),
            title: String::from(self.title.0),
            title_fr: some(self.title.1),
            text: some(self.text.0),
            text_fr: some(self.text.1),
            minutes: self.minutes,
            role: some(self.role.0),
            role_fr: some(self.role.1),
            link: some(self.link),
            command: some(self.command),
            done_when: some(self.done_when),
        }
    }
}

impl Written {
    fn made(&self) -> Playbook {
        Playbook {
            id: String::from(self.id),
            title: String::from(self.title.0),
            title_fr: some(self.title.1),
            incidents: self.incidents.iter().map(|kind| String::from(kind.as_str())).collect(),
            findings: self.findings.iter().map(|kind| String::from(kind.as_str())).collect(),
            checks: Vec::new(),
            groups: Vec::new(),
            tags: Vec::new(),
            classes: Vec::new(),
            check_kinds: self.check_kinds.iter().map(|kind| String::from(*kind)).collect(),
            steps: self.steps.iter().map(WrittenStep::made).collect(),
        }
    }
}

/// All of them, made anew: those for incidents first.
pub fn all() -> Vec<Playbook> {
    incidents::ALL.iter().chain(findings::ALL).map(Written::made).collect()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec;

    use super::super::{About, Fit, Trouble, fill, offers};
    use super::*;

    #[test]
    fn every_kind_has_one_in_both_languages_and_nothing_is_wrong_with_any() {
        let all = all();
        let ids: BTreeSet<&str> = all.iter().map(|book| book.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        for book in &all {
            assert_eq!(book.faults(), vec![], "{}", book.id);
            assert!(crate::id::ObjectId::parse(&book.id).is_ok(), "{}", book.id);
            assert!(book.title_fr.is_some(), "{}", book.id);
            for step in &book.steps {
                let at = alloc::format!("{}/{}", book.id, step.id);
                assert!(step.text.is_some() && step.text_fr.is_some() && step.title_fr.is_some(), "{at}");
                assert!(step.role.is_some() && step.role_fr.is_some(), "{at}");
                assert_ne!(step.text, step.text_fr, "{at}");
                assert_eq!(step.done_when.is_some(), step.condition().is_some(), "{at}");
            }
            // Somebody can see by a fact that it helped.
            assert!(book.steps.iter().any(|step| step.condition().is_some()), "{}", book.id);
        }
        let incidents = IncidentKind::ALL.iter().map(|kind| Trouble::Incident(*kind));
        for trouble in incidents.chain(insight::Kind::ALL.map(Trouble::Finding)) {
            assert!(!offers([].iter(), &all, trouble, &About::default()).is_empty(), "{trouble:?}");
        }
    }

    #[test]
    fn a_domain_gets_the_playbook_of_domains_first_and_own_ones_come_before_all() {
        let all = all();
        let trouble = Trouble::Incident(IncidentKind::Certificate);
        let about = About { check: Some("name"), kind: Some("domain"), ..About::default() };
        let found: Vec<&str> =
            offers([].iter(), &all, trouble, &about).iter().map(|(book, _)| book.id.as_str()).collect();
        assert_eq!(found, ["renew-domain", "renew-certificate"]);
        assert_eq!(all.iter().find(|book| book.id == "renew-domain").unwrap().fits(trouble, &about), Some(Fit::Class));
        let own = Playbook { id: "zzz-own".into(), ..all[0].clone() };
        let trouble = Trouble::Incident(IncidentKind::Down);
        assert_eq!(offers([own].iter(), &all, trouble, &about)[0].0.id, "zzz-own");
    }

    #[test]
    fn a_link_of_every_step_leads_into_the_console() {
        for (book, step) in all().iter().flat_map(|book| book.steps.iter().map(move |step| (book, step))) {
            if let Some(link) = &step.link {
                assert!(link.starts_with('/'), "{}/{}: {link}", book.id, step.id);
                assert_eq!(fill::check_link(link), Ok(()));
            }
        }
    }
}
