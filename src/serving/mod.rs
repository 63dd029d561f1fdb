//! What the operator serves over HTTP, on two addresses:
//!
//! | Path | Address | For |
//! | --- | --- | --- |
//! | `/healthz`, `/readyz` | `--http-addr`, plain | the kubelet, which has no credentials |
//! | `/metrics`, `/log-level` | `--metrics-addr`, TLS | who may, as the API server says |
//!
//! `verdict.rs` decides who may, as a pure function; `reviewer.rs` asks;
//! `guard.rs` does the one until the other has answered.
//! `docs/decisions/0027-who-may-read-metrics.md` has the reasons.

mod access;
mod certificate;
mod connections;
mod guard;
mod memory;
mod reviewer;
mod routes;
pub mod verdict;

pub use access::Access;
pub use certificate::Certificate;
pub use connections::{Transport, serve};
pub use guard::Gatekeeper;
pub use routes::{health, reviewed, unreviewed};
