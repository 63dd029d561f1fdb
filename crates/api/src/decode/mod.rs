//! Objects as the API server holds them, decoded so that none can fail.
//!
//! One object that does not decode fails the whole list or watch that it is in:
//! every other object with it, and the way to its own end. The API server holds
//! more than this version can read: what a newer version wrote, what was stored
//! before a rule, times that are none. So what does not decode is taken out
//! piece by piece, and the rest is the object, with a note of what is missing.

mod kinds;
mod lenient;
mod salvage;

pub use lenient::Lenient;
pub use salvage::Salvage;

#[cfg(test)]
mod tests;
