//! How many calls a second AWS takes, found by asking: a token bucket whose
//! rate rises while answers are fine and falls when AWS throttles. Pure: the
//! time is an argument.

use std::time::{Duration, Instant};

/// Calls that may go at once after a pause: one small issue (user, policy,
/// key). Under load the bucket is empty and this has no effect.
const BURST: f64 = 3.0;
/// The same for high rates, in seconds' worth: below the resolution of timers
/// on a busy machine a rate would otherwise be lost.
const BURST_SECONDS: f64 = 0.05;
/// The lowest rate: one call in two seconds still finds out that AWS serves
/// again.
const FLOOR: f64 = 0.5;
/// Added by each answer while the limit is not known. With a rate of r there
/// are r answers a second, so the rate doubles in ln 2 / 1.4 = 0.5 s: from
/// 5 to 1,200 a second in four.
const SEARCH_STEP: f64 = 1.4;
/// What a throttling leaves of a rate that is far off: at the end of a search,
/// or when hardly a call was taken since the last cut.
const BIG_CUT: f64 = 0.5;
/// Calls that AWS takes between two throttlings when the rate is about right.
const ABOUT_RIGHT: u32 = 5;
/// What it leaves of one that is about right. Between this and 1 the rate averages 95 %
/// of the limit.
const CUT: f64 = 0.9;
/// How long the way back takes to the rate at which AWS throttled, in seconds
/// of use: at 10/s about one call of 200 is throttled.
const WAY_BACK: f64 = 20.0;
/// A limit that is passed by this factor without throttling has risen, and is
/// searched for anew.
const OUTGROWN: f64 = 1.25;

/// The rate of one service in one account.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    cap: f64,
    /// The rate at which AWS throttled last; `None` while the limit is
    /// searched for.
    limit: Option<f64>,
    /// What the rate gains in a second of use on its way back there.
    climb: f64,
    /// Calls that may go at once after a pause.
    burst: f64,
    tokens: f64,
    filled: Instant,
    cut: Option<Instant>,
    /// Calls that AWS took since.
    taken: u32,
}

/// A call that was let go: what its answer teaches depends on when and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When it went.
    pub at: Instant,
    /// Whether the rate held it up. A rate that nobody uses up says nothing
    /// about what AWS would take, and does not grow.
    pub held_up: bool,
}

impl Rate {
    /// Begins at `start` calls a second, with a full bucket.
    pub fn new(start: f64, now: Instant) -> Self {
        Self {
            per_second: start,
            cap: f64::INFINITY,
            limit: None,
            climb: 0.0,
            burst: BURST,
            tokens: BURST,
            filled: now,
            cut: None,
            taken: 0,
        }
    }

    /// The calls a second at present.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Sets the most calls a second; `None` for no cap.
    pub fn set_cap(&mut self, cap: Option<f64>) {
        self.cap = cap.unwrap_or(f64::INFINITY);
        self.set(self.per_second);
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let most = self.burst.max(self.per_second * BURST_SECONDS);
        self.tokens = (self.tokens + passed * self.per_second).min(most);
        self.filled = self.filled.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.per_second;
        Err(Duration::from_secs_f64(missing))
    }

    /// Puts back the token of a call that was not made after all.
    pub fn give_back(&mut self) {
        self.tokens += 1.0;
    }

    /// AWS took a call, whatever it answered.
    pub fn taken(&mut self, sent: Sent) {
        if self.knew_better(sent) {
            return;
        }
        self.taken = self.taken.saturating_add(1);
        if !sent.held_up {
            return;
        }
        let step = match self.limit {
            None => SEARCH_STEP,
            // Each answer stands for 1 / rate seconds.
            Some(_) => self.climb / self.per_second,
        };
        self.set(self.per_second + step);
        if self.limit.is_some_and(|l| self.per_second > l * OUTGROWN) {
            self.limit = None;
            self.burst = BURST;
        }
    }

    /// AWS throttled a call. Calls that went before the last cut say nothing
    /// about what goes since: it is cut once in a round trip.
    pub fn throttled(&mut self, sent: Sent, now: Instant) {
        if self.knew_better(sent) {
            return;
        }
        if !sent.held_up && self.burst > 1.0 {
            // Too many at once, which says nothing of the rate.
            self.burst = 1.0;
        } else {
            let about_right = self.limit.is_some() && self.taken >= ABOUT_RIGHT;
            let cut = if about_right { CUT } else { BIG_CUT };
            self.limit = Some(self.per_second);
            self.climb = self.per_second * (1.0 - cut) / WAY_BACK;
            self.set(self.per_second * cut);
        }
        self.tokens = self.tokens.min(0.0);
        self.filled = now;
        self.cut = Some(now);
        self.taken = 0;
    }

    fn knew_better(&self, sent: Sent) -> bool {
        self.cut.is_some_and(|cut| sent.at < cut)
    }

    fn set(&mut self, per_second: f64) {
        self.per_second = per_second.min(self.cap).max(FLOOR);
    }
}
