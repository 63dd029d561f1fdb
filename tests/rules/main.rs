//! The rules of the three kinds, without a cluster.

// Clippy knows test functions, and not that everything here serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authorization;
#[path = "../common_rules/mod.rs"]
mod common_rules;
mod crds;
mod evaluated;
mod forms;
mod grown;
mod network;
mod pages;
mod reliability;
