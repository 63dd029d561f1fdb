//! What the caches keep. Ten thousand leases are at rest most of their time, so
//! a request is [filed](Filed): what is looked for in all of them lies open,
//! the rest is folded up until the request is worked on. Of every object, what
//! no decision looks at is left out.

mod filed;
mod glance;
mod sheet;
mod slim;

pub use filed::{Filed, Unreadable};
pub use glance::{Glance, account_of, due, holds};
pub use slim::slim;
