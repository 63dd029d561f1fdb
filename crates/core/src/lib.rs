//! What Keylease decides, and nothing that it does.
//!
//! What was observed and the time go in, one step comes out. No client and no
//! `async`: `Cargo.toml` has nothing to make them of. No clock: `clippy.toml` lets
//! nobody ask one. So a test can walk every path and stop at every point.

// Tests measure how long they play.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod key_material;
pub mod plan;
pub mod time;
