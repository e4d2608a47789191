//! What each command takes, by what it is about.

mod access;
mod figures;
mod findings;
mod incidents;
mod jobs;
mod playbooks;
mod work;

pub use access::*;
pub use figures::*;
pub use findings::*;
pub use incidents::*;
pub use jobs::*;
pub use playbooks::*;
pub use work::*;
