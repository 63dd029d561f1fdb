//! One sweep of one account: reads what `plan::sweep` judges, and removes the
//! users that it finds to be orphans. Used by the operator, again and again,
//! and by `keylease sweep`, once.

mod gather;
mod removal;

pub use gather::Gathered;
pub use removal::Removal;

use crate::act::Hands;
use keylease_core::plan::naming::ClusterId;

/// Sweeps accounts of one cluster.
#[derive(Clone)]
pub struct Sweeper {
    /// What it reads and removes with.
    pub hands: Hands,
    /// The cluster whose users these are.
    pub cluster: ClusterId,
}
