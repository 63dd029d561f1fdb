//! What comes from outside, mutated without end: nothing panics, and each target
//! keeps its invariant. `make fuzz` runs it for as long as wanted; without
//! further words it replays the corpus and tries a few thousand inputs.
//! `docs/decisions/0031-fuzzing.md` says why it is made like this.

// Clippy knows test functions, and not that everything here serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod harness;

mod answers;
mod decisions;
mod durations;
mod headers;
mod intents;
mod names;
mod objects;
mod policies;
mod promises;
mod reports;
mod samples;
mod secrets;
mod selectors;
mod world;
