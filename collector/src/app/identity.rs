//! Whom an identity provider vouches for, as a user of this collector; and their session.
//!
//! `sub` decides, as stored here when it was first seen. Somebody new is the user whose address the provider says is theirs, if there is one alone and nobody else at the provider
//! is that user yet; else they become a user, or are refused, as the owner says. Whoever is retired stays out: an admin's decision is not undone by signing in, and a
//! later user of the same id is not theirs.
//!
//! The role of a user whose newest version a sign-in wrote ([`AUTHOR`]) follows the provider's claim with each sign-in. Once anybody applies that user as code, the code says it.

use sitepulse_model::time::UtcMicros;
use sitepulse_model::user::{Role, User};

use super::credentials::{NewCredential, make_session};
use super::{Access, App, AppError, ApplyOptions};
use crate::access::audit::{Deed, Told};
use crate::access::identity::{self, Identity};
use crate::access::{Way, access_of};
use crate::book::{Book, Object};
use crate::checkfile::{Written, WrittenObject};
use crate::engine::Engine;
use crate::oidc::claims::{Person, Rules, Unknown};
use crate::store::{access as log, identity as stored};

/// Who writes users that a provider vouches for.
const AUTHOR: &str = "provider";

/// Why somebody whom a provider vouches for does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The owner's rules do not let them in.
    Rules(&'static str),
    /// They are no user here.
    Unknown,
    /// Their user is gone, or has no role.
    Gone(String),
    /// The user of their address is somebody else at the provider.
    Taken(String),
}

impl Refused {
    /// For the audit log.
    pub fn told(&self) -> String {
        match self {
            Self::Rules(why) => (*why).to_owned(),
            Self::Unknown => "no user here".to_owned(),
            Self::Gone(user) => format!("user {user} is retired, or has no role"),
            Self::Taken(user) => format!("the address is that of user {user}, who is somebody else at the provider"),
        }
    }
}

impl App {
    /// Opens a session for whom a provider vouches for.
    pub async fn sign_in_by_provider(
        &self,
        person: Person,
        rules: Rules,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Result<NewCredential, Refused>, AppError> {
        self.writer().run(move |engine| engine.sign_in_by_provider(&person, &rules, from, now)).await?
    }

    /// Forgets who a user is at providers, and ends their sessions; how many identities that were.
    pub async fn unlink(&self, user: &str) -> Result<usize, AppError> {
        let user = user.to_owned();
        self.writer().run(move |engine| engine.unlink(&user)).await?
    }
}

/// What somebody is here.
enum Found {
    /// This user, as was known before or is found out now.
    User { id: String, linked: Option<UtcMicros> },
    /// Nobody yet.
    Nobody,
}

/// Whether a user is there now and was all the time since.
fn stayed(book: &Book, user: &str, since: UtcMicros) -> bool {
    let users = &book.objects().users;
    let gone = users.versions(user).iter().any(|version| version.retired && version.effective_from > since);
    !gone && users.current(user).is_some()
}

/// Whether a sign-in wrote what a user is now.
fn is_ours(book: &Book, user: &str) -> bool {
    book.objects().users.current(user).is_some_and(|version| version.author == AUTHOR)
}

impl Engine {
    fn sign_in_by_provider(
        &mut self,
        person: &Person,
        rules: &Rules,
        from: Option<String>,
        now: UtcMicros,
    ) -> Result<Result<NewCredential, Refused>, AppError> {
        let name = identity::name(&person.issuer, &person.subject);
        let found = match self.person_here(&name, person) {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let role = rules.role(person);
        if let Err(why) = rules.admit(person) {
            // What the provider gave, it takes away: sessions that are open end with the role.
            if let Found::User { id, linked: Some(_) } = &found {
                self.follow(id, None, now)?;
            }
            return Ok(Err(Refused::Rules(why)));
        }
        let (user, linked) = match found {
            Found::User { id, linked } => {
                self.follow(&id, Some(role.unwrap_or(Role::Viewer)), now)?;
                (id, linked)
            }
            Found::Nobody if rules.unknown == Unknown::Refuse => return Ok(Err(Refused::Unknown)),
            Found::Nobody => (self.create(&name, person, role.unwrap_or(Role::Viewer), now)?, None),
        };
        let (access, since) = {
            let book = self.shared.book();
            let version = book.objects().users.current(&user);
            let role = version.and_then(|version| version.body.role);
            let Some((version, role)) = version.zip(role) else { return Ok(Err(Refused::Gone(user))) };
            (access_of(role), version.effective_from)
        };
        // A session is younger than what it rests on.
        let set = self.shared.access.password(&user).map_or(now, |password| password.set);
        let now = now.max(since).max(set);
        let issuer = person.issuer.clone();
        let kept = Identity {
            user: user.clone(),
            issuer: issuer.clone(),
            subject: person.subject.clone(),
            linked: linked.unwrap_or(now),
            used: now,
        };
        let link = Deed::new(Told::Done, Way::Provider, "link").about(&user);
        let link = link.from(from.clone()).detail(&format!("subject {} of {issuer}", person.subject));
        self.store.write(|tables| {
            stored::set(tables, &name, &kept)?;
            if linked.is_none() {
                log::append(tables, now, AUTHOR, &link)?;
            }
            Ok(())
        })?;
        self.shared.access.keep_identity(&name, Some(kept));
        let session = make_session(access, &user, Some(&user), Way::Provider, now)?;
        self.keep_users_session(&session, &user, from, now)?;
        Ok(Ok(session))
    }

    fn person_here(&self, name: &str, person: &Person) -> Result<Found, Refused> {
        let book = self.shared.book();
        let known = self.shared.access.identity(name);
        if let Some(known) = &known
            && stayed(&book, &known.user, known.linked)
        {
            return Ok(Found::User { id: known.user.clone(), linked: Some(known.linked) });
        }
        let gone = known.map(|known| Refused::Gone(known.user));
        let Some(email) = &person.email else { return gone.map_or(Ok(Found::Nobody), Err) };
        let same = |user: &User| user.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email));
        let users = book.objects().users.living();
        let mut of_address = users.filter(|(_, version)| same(&version.body)).map(|(id, _)| id.to_owned());
        let (Some(user), None) = (of_address.next(), of_address.next()) else {
            return gone.map_or(Ok(Found::Nobody), Err);
        };
        let others = self.shared.access.identities_of(&user);
        let other = |(other, one): &(String, Identity)| {
            other != name && one.issuer == person.issuer && stayed(&book, &user, one.linked)
        };
        if others.iter().any(other) {
            return Err(Refused::Taken(user));
        }
        Ok(Found::User { id: user, linked: None })
    }

    /// Has the role of a user follow what the provider says, where a sign-in wrote it.
    fn follow(&mut self, user: &str, role: Option<Role>, now: UtcMicros) -> Result<(), AppError> {
        let body = {
            let book = self.shared.book();
            if !is_ours(&book, user) {
                return Ok(());
            }
            let version = book.objects().users.current(user);
            version.filter(|version| version.body.role != role).map(|version| User { role, ..version.body.clone() })
        };
        body.map_or(Ok(()), |body| self.write_user(body, now))
    }

    fn create(&mut self, name: &str, person: &Person, role: Role, now: UtcMicros) -> Result<String, AppError> {
        let id = {
            let book = self.shared.book();
            let slug = identity::slug(person.username.as_deref(), person.email.as_deref());
            // An id that somebody else had is theirs: histories name it.
            let free =
                book.objects().users.versions(&slug).is_empty() && self.shared.access.identities_of(&slug).is_empty();
            if free { slug } else { format!("{slug}-{}", &name[..8]) }
        };
        let body = User {
            id: id.clone(),
            name: person.name.clone(),
            email: person.email.clone(),
            notify: Vec::new(),
            language: None,
            zone: None,
            team: None,
            quiet: None,
            role: Some(role),
        };
        self.write_user(body, now)?;
        Ok(id)
    }

    fn write_user(&mut self, body: User, now: UtcMicros) -> Result<(), AppError> {
        let written = Written {
            checks: Vec::new(),
            objects: vec![WrittenObject { object: Object::User(body), references: Vec::new() }],
        };
        let options = ApplyOptions { prune: false, dry_run: false, author: AUTHOR.to_owned() };
        self.apply_as(Access::Admin, written, &options, now).map(drop)
    }

    fn unlink(&mut self, user: &str) -> Result<usize, AppError> {
        let own = self.shared.access.identities_of(user);
        self.store.write(|tables| own.iter().try_for_each(|(name, _)| stored::remove(tables, name)))?;
        own.iter().for_each(|(name, _)| self.shared.access.keep_identity(name, None));
        if !own.is_empty() {
            self.end_sessions(user)?;
        }
        Ok(own.len())
    }
}
