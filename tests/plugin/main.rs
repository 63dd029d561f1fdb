//! `kubectl keylease` against a real API server, with the real operator behind
//! it and a fake AWS behind that.

mod bed;
mod changes;
mod doctor;
mod exec;
mod issue;
mod kubeconfigs;
mod min_left;
mod reuse;
mod revoke;
mod sessions;
mod views;
