//! When accounts are swept.

use jiff::SignedDuration;

use super::Limits;

/// The first sweep comes after this part of the interval: early enough to tidy
/// up after a restart, late enough to stay out of the way of one.
const FIRST: i32 = 12;
/// Widest spread to each side, in percent of the interval, so that accounts
/// (and clusters) are not swept together.
const SPREAD: u32 = 10;

/// When, and within which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time from one sweep of an account to the next.
    pub interval: SignedDuration,
    /// The bounds.
    pub limits: Limits,
}

impl Schedule {
    /// Time from one sweep to the next, spread by what tells accounts apart.
    pub fn pause(&self, seed: &str) -> SignedDuration {
        let drawn = seed.bytes().fold(0_u32, |acc, b| {
            acc.wrapping_mul(31).wrapping_add(u32::from(b))
        });
        let percent = 100 - SPREAD + drawn % (2 * SPREAD + 1);
        let millis = self.interval.as_millis() * i128::from(percent) / 100;
        SignedDuration::from_millis_i128(millis)
    }

    /// Time from the start to the first sweep, and from a sweep that failed to
    /// the next.
    pub fn soon(&self, seed: &str) -> SignedDuration {
        self.pause(seed) / FIRST
    }
}
