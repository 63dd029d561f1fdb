//! What all tests here stand on: a control plane with our definitions, a fake
//! AWS, the real operator, and words to tell a story with.

mod aws_clients;
mod bed;
mod namespace;
mod planes;
mod scene;
mod wire;

use std::time::Duration;

pub use aws_clients::{caller_of, iam_of};
pub use bed::{Bed, Settings, client_of};
pub use namespace::{Namespace, condition};
pub use planes::{Begin, Cluster, begin};
pub use scene::Scene;
pub use wire::Wire;

/// What a test returns. A `?` that meets an error panics on the spot, so that
/// whatever is dropped on the way out knows that the test has failed: logs are
/// shown and kept.
pub type Story = Result<(), Surprise>;

/// The error that is never returned.
#[derive(Debug)]
pub enum Surprise {}

impl<E: Into<anyhow::Error>> From<E> for Surprise {
    #[track_caller]
    fn from(error: E) -> Self {
        panic!("{:?}", error.into());
    }
}

/// Whether control planes write an audit log. No test here reads one.
const AUDIT_LOG: bool = false;

/// The binary under test.
pub const KEYLEASE: &str = env!("CARGO_BIN_EXE_keylease");

/// For what happens by itself: long, because nothing is proven by a short one,
/// and a failure is told with what was seen last.
pub const SOON: Duration = Duration::from_secs(60);

/// For what takes several pauses of the operator: outages, backoff.
pub const LATER: Duration = Duration::from_secs(150);

/// A managed policy that every AWS account has.
pub const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

/// JSON merge patch (RFC 7386) without removal: how a test says in what an
/// object differs from the usual one.
pub fn merged(mut usual: serde_json::Value, change: &serde_json::Value) -> serde_json::Value {
    match (usual.as_object_mut(), change.as_object()) {
        (Some(target), Some(change)) => {
            for (key, value) in change {
                let before = target.remove(key).unwrap_or_default();
                target.insert(key.clone(), merged(before, value));
            }
            usual
        }
        _ => change.clone(),
    }
}
