//! What people change about duty on the spot: who stands in, and what calendars are signed with.

use std::sync::Arc;

use sitepulse_model::time::{Span, UtcMicros};

use super::{App, AppError};
use crate::book::Book;
use crate::engine::Engine;
use crate::oncall::duty::{FeedKey, SpotOverride};
use crate::store::oncall as stored;

/// Longest time that somebody stands in, in microseconds: 366 days.
const OVERRIDE_US_MAX: i64 = 366 * 86_400 * 1_000_000;
/// Most overrides of a schedule that are not over.
const OVERRIDES_MAX: usize = 1_000;

fn schedule_known(book: &Book, schedule: &str) -> Result<(), AppError> {
    match book.objects().schedules.current(schedule) {
        Some(_) => Ok(()),
        None => Err(AppError::NotFound(format!("there is no schedule {schedule:?}: see `sitepulse-collector oncall`"))),
    }
}

impl Engine {
    /// Has a user stand in: from now on at the earliest, for what was stays as it was.
    ///
    /// # Errors
    /// When there is no such schedule or user, or the time makes no sense.
    pub fn override_on_call(
        &mut self,
        schedule: &str,
        user: &str,
        span: Span,
        author: &str,
        now: UtcMicros,
    ) -> Result<SpotOverride, AppError> {
        let shared = Arc::clone(&self.shared);
        let one = {
            let book = shared.book();
            schedule_known(&book, schedule)?;
            if book.objects().users.current(user).is_none() {
                let what = format!("there is no user {user:?}: write it as a [[user]] and apply it");
                return Err(AppError::NotFound(what));
            }
            let span = Span::new(span.from.max(now), span.to);
            if span.is_empty() {
                return Err(AppError::Invalid(
                    "it would be over already: give an end after its beginning and now".into(),
                ));
            }
            if span.us() > OVERRIDE_US_MAX {
                return Err(AppError::Invalid(
                    "it lasts 366 days at most: give an earlier end, or change the schedule".into(),
                ));
            }
            let known = book.duty().overrides(schedule);
            if known.iter().filter(|one| one.counts().to > now).count() >= OVERRIDES_MAX {
                let what =
                    format!("the schedule has {OVERRIDES_MAX} overrides that are not over: take some back first");
                return Err(AppError::Invalid(what));
            }
            let number = known.iter().map(|one| one.number).max().unwrap_or(0) + 1;
            let (schedule, user, author) = (schedule.to_owned(), user.to_owned(), author.to_owned());
            SpotOverride { schedule, number, user, span, given: now, author, ended: None }
        };
        self.keep_override(one)
    }

    /// Takes an override back: from now on.
    ///
    /// # Errors
    /// When there is none of this number, or it is over.
    pub fn end_override(
        &mut self,
        schedule: &str,
        number: u32,
        author: &str,
        now: UtcMicros,
    ) -> Result<SpotOverride, AppError> {
        let known = {
            let book = self.shared.book();
            book.duty().overrides(schedule).iter().find(|one| one.number == number).cloned()
        };
        let mut one = known.ok_or_else(|| {
            let see = format!("see `sitepulse-collector oncall overrides {schedule}`");
            AppError::NotFound(format!(
                "the schedule {schedule:?} has no override {number} that was given on the spot: {see}"
            ))
        })?;
        if one.counts().to <= now {
            return Err(AppError::Conflict(format!("override {number} of {schedule:?} is over already")));
        }
        one.ended = Some((now, author.to_owned()));
        self.keep_override(one)
    }

    fn keep_override(&mut self, one: SpotOverride) -> Result<SpotOverride, AppError> {
        self.store.write(|tables| stored::set_override(tables, &one))?;
        self.shared.book_mut().duty_mut().insert_override(one.clone());
        self.shared.tick();
        Ok(one)
    }

    /// What a schedule's calendar is signed with; made when it is first asked for, and anew to `rotate`, which makes all its addresses void.
    ///
    /// # Errors
    /// When there is no such schedule.
    pub fn feed_key(&mut self, schedule: &str, rotate: bool, now: UtcMicros) -> Result<FeedKey, AppError> {
        {
            let book = self.shared.book();
            schedule_known(&book, schedule)?;
            if let Some(key) = book.duty().feed(schedule).filter(|_| !rotate) {
                return Ok(key.clone());
            }
        }
        let key = FeedKey(crate::enrol::random()?);
        self.store.write(|tables| stored::set_feed(tables, schedule, &key, now))?;
        self.shared.book_mut().duty_mut().insert_feed(schedule.to_owned(), key.clone());
        Ok(key)
    }
}

impl App {
    /// See [`Engine::override_on_call`].
    pub async fn override_on_call(
        &self,
        (schedule, user): (String, String),
        span: Span,
        author: String,
        now: UtcMicros,
    ) -> Result<SpotOverride, AppError> {
        self.inner.writer.run(move |engine| engine.override_on_call(&schedule, &user, span, &author, now)).await?
    }

    /// See [`Engine::end_override`].
    pub async fn end_override(
        &self,
        schedule: String,
        number: u32,
        author: String,
        now: UtcMicros,
    ) -> Result<SpotOverride, AppError> {
        self.inner.writer.run(move |engine| engine.end_override(&schedule, number, &author, now)).await?
    }

    /// See [`Engine::feed_key`].
    pub async fn feed_key(&self, schedule: String, rotate: bool, now: UtcMicros) -> Result<FeedKey, AppError> {
        self.inner.writer.run(move |engine| engine.feed_key(&schedule, rotate, now)).await?
    }
}
