//! `kubectl keylease` against a real API server, with the real operator behind
//! it and a fake AWS behind that.

mod bed;
mod changes;
mod doctor;
mod exec;
mod flux;
mod issue;
mod kubeconfigs;
mod min_left;
#[path = "../cluster/harness/planes.rs"]
#[allow(dead_code, reason = "nothing here begins on an empty cluster")]
mod planes;
mod reuse;
mod revoke;
mod sessions;
mod views;

use bed::SOON;

/// Whether control planes write an audit log: the plugin's watches are counted
/// in it.
const AUDIT_LOG: bool = true;
