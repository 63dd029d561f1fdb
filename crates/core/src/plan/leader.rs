//! Who leads: what the Lease says and how long it has said so lead to one move.
//!
//! Clocks of two machines are never compared. Another's hold on the Lease lasts
//! until the Lease has gone unchanged, as seen from here, for as long as it is
//! good; our own ends a fixed time after we *sent* the last renewal that was
//! answered. The first span is longer than the second, so two never lead at the
//! same time as long as their processes run.
//!
//! Times are readings of a clock that only goes forward, as [`Duration`]s since
//! any fixed moment.

use std::time::Duration;

/// How long the Lease is good for without renewal (client-go's default).
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long after the last renewal was sent its sender still leads (client-go's
/// default). A call that it sends last ends
/// [`CALL_TIMEOUT`](crate::time::CALL_TIMEOUT) later at the latest, which is
/// before a successor believes what IAM lists:
/// [`SETTLE`](super::work::SETTLE) after it began.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between renewals, and between looks of who waits (client-go's default).
pub const RETRY: Duration = Duration::from_secs(2);
/// A Lease that claims to be good for longer was not written by one of us; who
/// waits for it believes this much.
const LONGEST: Duration = Duration::from_secs(60);

/// What matters in a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The version of the object.
    pub version: String,
    /// Who holds it; `None` once it was given up.
    pub holder: Option<String>,
    /// How long it says it is good for.
    pub duration: Duration,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// There is none: make one that names us.
    Create,
    /// Nobody holds it any more: write our name, on the version that was seen.
    Take,
    /// It is ours: renew it, on the version that was seen.
    Renew,
    /// Another holds it: look again at that time.
    Wait(Duration),
    /// We led and do not any more: make no further change, and end.
    StepDown,
}

/// One who would lead, or does.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    /// The record as last seen; `None` where there is no Lease.
    record: Option<Record>,
    /// Until when another may believe that it holds the Lease.
    others_until: Duration,
    /// Until when we may believe that we do; `None` before the first time.
    ours_until: Option<Duration>,
}

impl Candidate {
    /// Under this name, which no other process has.
    pub fn new(identity: String) -> Self {
        Self {
            identity,
            record: None,
            others_until: Duration::ZERO,
            ours_until: None,
        }
    }

    /// Takes note of a read of the Lease. One that was deleted under its holder
    /// counts as held for as long as it was good.
    pub fn saw(&mut self, record: Option<Record>, now: Duration) {
        if let Some(new) = &record
            && self.record.as_ref().map(|r| &r.version) != Some(&new.version)
        {
            self.others_until = if self.holds(new) || new.holder.is_none() {
                now
            } else {
                now.saturating_add(new.duration.clamp(LEASE_DURATION, LONGEST))
            };
        }
        self.record = record;
    }

    /// Takes note of a write of ours that was answered, by the time at which it
    /// was sent.
    pub fn wrote(&mut self, record: Record, sent: Duration) {
        self.record = Some(record);
        self.others_until = sent;
        self.ours_until = Some(sent.saturating_add(RENEW_DEADLINE));
    }

    /// What to do now.
    pub fn next(&self, now: Duration) -> Move {
        let ours = self.record.as_ref().is_some_and(|r| self.holds(r));
        match self.ours_until {
            Some(until) if now >= until => Move::StepDown,
            Some(_) if ours => Move::Renew,
            Some(_) if self.record.is_none() => Move::Create,
            // Somebody else has it, or we were made to give it up.
            Some(_) => Move::StepDown,
            // A write whose answer was lost.
            None if ours => Move::Renew,
            None if now < self.others_until => {
                Move::Wait(self.others_until.min(now.saturating_add(RETRY)))
            }
            None if self.record.is_none() => Move::Create,
            None => Move::Take,
        }
    }

    /// Until when we lead, if nothing more is heard.
    pub fn leads_until(&self) -> Option<Duration> {
        self.ours_until
    }

    /// Our name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who holds the Lease, by what was seen last.
    pub fn holder(&self) -> Option<&str> {
        self.record.as_ref()?.holder.as_deref()
    }

    fn holds(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(&self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn record(version: &str, holder: &str) -> Record {
        Record {
            version: version.to_owned(),
            holder: Some(holder.to_owned()).filter(|h| !h.is_empty()),
            duration: LEASE_DURATION,
        }
    }

    fn candidate() -> Candidate {
        Candidate::new("b".to_owned())
    }

    /// B, which leads since 0.
    fn leader() -> Candidate {
        let mut b = candidate();
        b.wrote(record("1", "b"), at(0));
        b
    }

    #[test]
    fn the_first_makes_the_lease_and_renews_it() {
        let mut b = candidate();
        b.saw(None, at(0));
        assert_eq!(b.next(at(0)), Move::Create);
        b.wrote(record("1", "b"), at(0));
        assert_eq!(b.next(at(2)), Move::Renew);
        assert_eq!(b.leads_until(), Some(at(10)));
    }

    #[test]
    fn one_that_is_renewed_is_left_to_its_holder() {
        let mut b = candidate();
        for second in (0..60).step_by(2) {
            b.saw(Some(record(&second.to_string(), "a")), at(second));
            assert_eq!(b.next(at(second)), Move::Wait(at(second + 2)));
        }
    }

    /// However old its times are, and whatever the clocks say: what counts is
    /// how long it has not changed before our eyes.
    #[test]
    fn one_that_rests_is_taken_to_the_second() {
        let mut b = candidate();
        b.saw(Some(record("7", "a")), at(0));
        b.saw(Some(record("7", "a")), at(14));
        assert_eq!(b.next(at(14)), Move::Wait(at(15)));
        assert_eq!(b.next(at(15)), Move::Take);
    }

    #[test]
    fn one_that_was_given_up_is_taken_at_once() {
        let mut b = candidate();
        b.saw(Some(record("7", "a")), at(0));
        b.saw(Some(record("8", "")), at(1));
        assert_eq!(b.next(at(1)), Move::Take);
    }

    #[test]
    fn one_deleted_under_its_holder_is_waited_for() {
        let mut b = candidate();
        b.saw(Some(record("7", "a")), at(0));
        b.saw(None, at(1));
        assert_eq!(b.next(at(1)), Move::Wait(at(3)));
        assert_eq!(b.next(at(15)), Move::Create);
        // Its holder puts it back.
        let mut b = leader();
        b.saw(None, at(3));
        assert_eq!(b.next(at(3)), Move::Create);
    }

    #[test]
    fn durations_written_by_hand_are_bounded() {
        for (said, believed) in [(0, 15), (30, 30), (86_400, 60)] {
            let mut b = candidate();
            let mut strange = record("7", "a");
            strange.duration = Duration::from_secs(said);
            b.saw(Some(strange), at(0));
            assert_ne!(b.next(at(believed - 1)), Move::Take, "{said}");
            assert_eq!(b.next(at(believed)), Move::Take, "{said}");
        }
    }

    /// A leader that was stopped, or could not renew, does not try again: its
    /// time is over even if nobody has taken the Lease yet.
    #[test]
    fn a_leader_whose_time_is_over_steps_down() {
        assert_eq!(leader().next(at(9)), Move::Renew);
        assert_eq!(leader().next(at(10)), Move::StepDown);
        let mut late = leader();
        late.saw(Some(record("1", "b")), at(60));
        assert_eq!(late.next(at(60)), Move::StepDown);
    }

    #[test]
    fn a_leader_that_sees_another_steps_down() {
        for holder in ["a", ""] {
            let mut b = leader();
            b.saw(Some(record("2", holder)), at(3));
            assert_eq!(b.next(at(3)), Move::StepDown);
        }
    }

    /// The answer to the write that made it leader was lost: it is not leader
    /// before an answer came.
    #[test]
    fn a_lost_answer_is_made_good() {
        let mut b = candidate();
        b.saw(Some(record("7", "a")), at(0));
        b.saw(Some(record("8", "b")), at(20));
        assert_eq!(b.leads_until(), None);
        assert_eq!(b.next(at(20)), Move::Renew);
        b.wrote(record("9", "b"), at(20));
        assert_eq!(b.leads_until(), Some(at(30)));
    }

    /// What an old leader sent last has been answered, or given up, before a
    /// successor believes a list of IAM's.
    #[test]
    fn the_last_call_of_the_old_is_in_the_first_list_of_the_new() {
        let last = RENEW_DEADLINE + crate::time::CALL_TIMEOUT;
        let settle = Duration::try_from(crate::plan::work::SETTLE).unwrap();
        assert!(last <= LEASE_DURATION + settle);
    }

    /// A holder renews at 0 and dies. Whenever a standby sees that, it takes over
    /// with three of the promised 20 s to spare, for its calls.
    #[test]
    fn a_dead_leader_is_replaced_within_twenty_seconds() {
        for late in 0..=RETRY.as_millis() as u64 {
            let mut b = candidate();
            let mut now = at(0) + Duration::from_millis(late);
            b.saw(Some(record("1", "a")), now);
            while let Move::Wait(then) = b.next(now) {
                assert!(then > now, "it waits for nothing");
                now = then;
                b.saw(Some(record("1", "a")), now);
            }
            assert_eq!(b.next(now), Move::Take);
            assert!(now <= at(17), "{late} ms late: {now:?}");
        }
    }

    /// A holder renews for the last time at 0. However late its answers were, it
    /// has stopped for five seconds before anybody can take over.
    #[test]
    fn the_old_ends_before_the_new_begins() {
        let mut a = Candidate::new("a".to_owned());
        a.wrote(record("1", "a"), at(0));
        let mut b = candidate();
        b.saw(Some(record("1", "a")), at(0));
        let ends = (0..60).find(|s| a.next(at(*s)) == Move::StepDown);
        let begins = (0..60).find(|s| b.next(at(*s)) == Move::Take);
        assert_eq!((ends, begins), (Some(10), Some(15)));
    }
}
