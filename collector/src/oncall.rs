//! Whom a target leads to: users, and who is on call by the wall clock of a schedule's zone.
//!
//! The rules are the model's ([`sitepulse_model::oncall`], [`sitepulse_model::user`]); here they meet the time zone database ([`zone`]) and what was given on the spot ([`duty`]).

pub mod duty;
pub mod feed;
pub mod zone;

use sitepulse_model::coded::Fault;
use sitepulse_model::oncall::Schedule;
use sitepulse_model::user::User;

use zone::WallZone;

/// Everything that is wrong with a schedule's values, but for whom it refers to.
pub fn schedule_faults(schedule: &Schedule) -> Vec<Fault> {
    let mut faults = schedule.faults();
    faults.extend(WallZone::named(&schedule.zone).err().map(|what| Fault::new("zone", what)));
    faults
}

/// Everything that is wrong with a user's values, but for what they refer to.
pub fn user_faults(user: &User) -> Vec<Fault> {
    let mut faults = user.faults();
    let zone = user.zone.as_deref().map(WallZone::named);
    faults.extend(zone.and_then(Result::err).map(|what| Fault::new("zone", what)));
    faults
}

#[cfg(test)]
mod tests;
