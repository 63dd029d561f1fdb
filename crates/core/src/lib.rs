//! What Keylease decides, and nothing that it does.
//!
//! What was observed and the time go in, one step comes out. No client, no clock
//! and no `async`: `Cargo.toml` has nothing to make them of, so a test can walk
//! every path and stop at every point.

pub mod key_material;
pub mod plan;
pub mod time;

// The name by which `plan` calls it.
use keylease_api as api;
