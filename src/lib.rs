//! Keylease issues short-lived AWS credentials as Kubernetes Secrets.
//!
//! The way of an object through the code: `controller` is called by kube-rs,
//! `observe` gathers what is true, [`keylease_core`] decides on one step as a pure
//! function, `act` and `aws` perform it, and around again until there is
//! nothing left to do. `docs/architecture.md` follows one request through it.

pub mod act;
pub mod audit;
pub mod aws;
pub mod cache;
pub mod cli;
pub mod controller;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod proxy;
pub mod serving;
pub mod sweep;
pub mod telemetry;
pub mod traces;
