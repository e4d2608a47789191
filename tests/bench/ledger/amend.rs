//! A backlog of twelve hours that arrives late.

use std::path::Path;

pub(crate) fn run(_below: &Path) {}
