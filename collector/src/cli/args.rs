//! What each command takes, by what it is about.

mod access;
mod figures;
mod incidents;
mod playbooks;
mod work;

pub use access::*;
pub use figures::*;
pub use incidents::*;
pub use playbooks::*;
pub use work::*;
