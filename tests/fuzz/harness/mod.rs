//! The harness: replays a target's corpus, then mutates it. An input that makes
//! the target do something new joins the pool that is mutated, so that the way
//! leads deeper without instrumented code, which stable Rust cannot read.

mod corpus;
mod mutate;
mod quiet;
mod run;
mod shrink;

pub use run::fuzz;

use std::hash::{DefaultHasher, Hash, Hasher};

/// What a target says to an input: what it did, told by a number that differs
/// where something else happened; or which promise is broken.
pub type Told = Result<u64, String>;

/// The number for what happened. Few different things should lead to few
/// different numbers: a class of error, not its text.
pub fn did(what: impl Hash) -> Told {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    Ok(hasher.finish())
}

/// A promise that an input must not break.
macro_rules! ensure {
    ($promise:expr, $($said:tt)+) => {
        if !$promise {
            return Err(format!($($said)+));
        }
    };
}
