//! What each command takes, by what it is about.

mod access;
mod figures;
mod incidents;
mod jobs;
mod work;

pub use access::*;
pub use figures::*;
pub use incidents::*;
pub use jobs::*;
pub use work::*;
