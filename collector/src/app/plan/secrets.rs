//! Where secrets go. Who edits may use a secret where it is used already; a new place is an admin's to name, for whoever names it can read the secret there.

use std::collections::BTreeSet;

use crate::book::{Book, Object};
use crate::checkfile::{WrittenCheck, WrittenObject};
use sitepulse_model::channel::Channel;
use sitepulse_model::check::CheckKind;

/// A secret with a place that hears it.
type Use = (String, String);

fn of_check(kind: &CheckKind) -> Vec<Use> {
    let places = kind.destinations();
    let pairs = |name: String| places.iter().map(move |place| (name.clone(), place.clone())).collect::<Vec<_>>();
    kind.secrets().into_iter().flat_map(pairs).collect()
}

fn of_channel(channel: &Channel) -> Vec<Use> {
    let place = format!("channels of {}", channel.destination());
    channel.secrets().into_iter().map(|name| (name, place.clone())).collect()
}

/// Every secret with where it goes as things are now.
fn known(book: &Book) -> BTreeSet<Use> {
    let checks =
        book.checks().filter_map(|check| check.current()).flat_map(|current| of_check(&current.definition.kind));
    let channels = book.objects().channels.living().flat_map(|(_, version)| of_channel(&version.body));
    checks.chain(channels).collect()
}

/// What is told where a check or a channel would have a secret go where it does not go yet.
pub(super) fn led_elsewhere<'w>(
    book: &Book,
    checks: impl Iterator<Item = &'w WrittenCheck>,
    objects: &[WrittenObject],
) -> Option<String> {
    let of_checks = checks.flat_map(|check| {
        let id = &check.definition.id;
        of_check(&check.definition.kind).into_iter().map(move |used| (format!("check {id}"), used))
    });
    let of_channels = objects.iter().filter_map(|written| match &written.object {
        Object::Channel(channel) => Some(channel),
        Object::Slo(_)
        | Object::Policy(_)
        | Object::Maintenance(_)
        | Object::Escalation(_)
        | Object::Schedule(_)
        | Object::User(_)
        | Object::StatusPage(_)
        | Object::Scoring(_)
        | Object::Playbook(_) => None,
    });
    let of_channels = of_channels
        .flat_map(|channel| of_channel(channel).into_iter().map(move |used| (format!("channel {}", channel.id), used)));
    let mut wanted = of_checks.chain(of_channels).peekable();
    wanted.peek()?;
    let known = known(book);
    let (what, (name, place)) = wanted.find(|(_, used)| !known.contains(used))?;
    Some(format!(
        "{what} would have secret {name} go to {place}, where it does not go yet: only an admin may lead a secret to a new place"
    ))
}
