//! What each command takes, by what it is about.

mod access;
mod figures;
mod findings;
mod incidents;
mod playbooks;
mod jobs;
mod work;

pub use access::*;
pub use figures::*;
pub use findings::*;
pub use incidents::*;
pub use playbooks::*;
pub use jobs::*;
pub use work::*;
