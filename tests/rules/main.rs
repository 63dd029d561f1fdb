//! The rules of the three kinds, without a cluster.

#[path = "../common_rules/mod.rs"]
mod common_rules;
mod crds;
mod evaluated;
