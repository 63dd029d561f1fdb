//! The operator at work: a real API server, an AWS that can be slow, forgetful
//! or down, and the binary that is shipped. `make tools` builds what these
//! tests need; without it they fail and say so.

// Clippy knows test functions, and not that everything here serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod admission;
mod bad_input;
mod chart;
mod clean;
mod confined;

#[path = "../common_rules/mod.rs"]
mod common_rules;
mod deploy;
mod drain;
mod faults;
mod foreign_secrets;
mod harness;
mod issue;
mod kstatus;
mod leadership;
mod leases;
mod least_policy;
mod metrics_access;
mod moto;
mod operations;
mod out_of_service;
mod outbound;
mod pacing;
mod platforms;
mod proof;
mod rbac;
mod restart;
mod root_rotation;
mod rotation;
mod rules;
mod secrets;
mod sessions;
mod settings;
mod sign_in;
mod static_users;
mod sweep;
mod traces;
mod trust;
mod twins;
mod unreadable;
