//! Verdicts of the last minute, so that a scrape does not cost two calls to the
//! API server each time. Time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::verdict::{Deed, Fingerprint, Verdict};

/// How long an allowance holds: what a token that was taken back may still do,
/// and half the calls of a scrape every 30 s. Kubernetes's own delegated
/// authentication keeps answers as long.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
/// How long a refusal holds: as long as whoever was just given the right waits.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Most verdicts that are kept. A few scrapers need a few; the rest is for
/// whoever sends tokens that nobody knows.
const CAPACITY: usize = 256;

/// What was asked: whose token, and what for.
pub type Question = (Fingerprint, Deed);

/// The verdicts that still hold.
#[derive(Debug, Default)]
pub struct Memory {
    kept: HashMap<Question, Kept>,
}

#[derive(Debug)]
struct Kept {
    verdict: Verdict,
    until: Instant,
}

impl Kept {
    /// Refusals go before allowances, so that no flood of unknown tokens makes
    /// Prometheus wait for the API server; then what ends first.
    fn worth(&self) -> (bool, Instant) {
        (matches!(self.verdict, Verdict::Allowed(_)), self.until)
    }
}

impl Memory {
    /// What was decided, if it still holds.
    pub fn recall(&self, question: &Question, now: Instant) -> Option<Verdict> {
        let kept = self.kept.get(question).filter(|k| now < k.until)?;
        Some(kept.verdict.clone())
    }

    /// Keeps what was decided now.
    pub fn keep(&mut self, question: Question, verdict: Verdict, now: Instant) {
        if self.kept.len() >= CAPACITY {
            self.kept.retain(|_, kept| now < kept.until);
        }
        if self.kept.len() >= CAPACITY {
            let least = self.kept.iter().min_by_key(|(_, kept)| kept.worth());
            if let Some(least) = least.map(|(question, _)| question.clone()) {
                self.kept.remove(&least);
            }
        }
        let holds = match verdict {
            Verdict::Allowed(_) => ALLOWED_FOR,
            Verdict::Unauthenticated | Verdict::Forbidden(_) => REFUSED_FOR,
        };
        let until = now + holds;
        self.kept.insert(question, Kept { verdict, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(token: &str, verb: &'static str) -> Question {
        let path = "/metrics".to_owned();
        (Fingerprint::of(token), Deed { verb, path })
    }

    fn allowed() -> Verdict {
        Verdict::Allowed("prometheus".into())
    }

    #[test]
    fn a_verdict_is_for_one_token_and_one_deed() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.keep(question("a", "get"), allowed(), now);
        assert_eq!(memory.recall(&question("a", "get"), now), Some(allowed()));
        assert_eq!(memory.recall(&question("b", "get"), now), None);
        assert_eq!(memory.recall(&question("a", "put"), now), None);
    }

    #[test]
    fn a_refusal_is_forgotten_before_an_allowance() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.keep(question("a", "get"), allowed(), now);
        memory.keep(question("b", "get"), Verdict::Unauthenticated, now);
        let later = now + REFUSED_FOR;
        assert_eq!(memory.recall(&question("b", "get"), later), None);
        assert!(memory.recall(&question("a", "get"), later).is_some());
        let later = now + ALLOWED_FOR;
        assert_eq!(memory.recall(&question("a", "get"), later), None);
    }

    #[test]
    fn a_flood_of_unknown_tokens_takes_no_room_from_a_known_one() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.keep(question("prometheus", "get"), allowed(), now);
        for n in 0..3 * CAPACITY {
            let stranger = question(&format!("stranger {n}"), "get");
            memory.keep(stranger, Verdict::Unauthenticated, now);
        }
        assert_eq!(memory.kept.len(), CAPACITY);
        let known = memory.recall(&question("prometheus", "get"), now);
        assert_eq!(known, Some(allowed()));
    }
}
