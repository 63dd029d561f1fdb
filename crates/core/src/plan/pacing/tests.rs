//! The budget against an AWS that is a token bucket too, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::queue::Queue;
use super::rate::{Rate, Sent};
use super::{Class, Priority, Urgency, slots};

/// Calls that one issue takes, and one revocation.
const CALLS: u32 = 3;

/// What somebody wants done: some calls, one after the other.
#[derive(Clone)]
struct Job {
    name: &'static str,
    class: Class,
    namespace: &'static str,
    done: u32,
    asked: Duration,
}

/// An AWS with a limit, a line of jobs, and the budget between them.
struct Sim {
    start: Instant,
    now: Duration,
    rate: Rate,
    queue: Queue<Job>,
    /// Whether the budget was used up when what waits came.
    held_up: bool,
    /// Answers under way, by when they come.
    answers: BTreeMap<(Duration, u64), (Job, Sent, bool)>,
    round_trip: Duration,
    allowed: f64,
    burst: f64,
    tokens: f64,
    filled: Duration,
    sent: u64,
    taken: u64,
    throttled: u64,
    /// When jobs of each name were done, in order.
    finished: Vec<(&'static str, Duration)>,
}

impl Sim {
    fn new(allowed: f64, burst: f64, round_trip_ms: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: Duration::ZERO,
            rate: Rate::new(5.0, start),
            queue: Queue::default(),
            held_up: false,
            answers: BTreeMap::new(),
            round_trip: Duration::from_millis(round_trip_ms),
            allowed,
            burst,
            tokens: burst,
            filled: Duration::ZERO,
            sent: 0,
            taken: 0,
            throttled: 0,
            finished: Vec::new(),
        }
    }

    fn ask(&mut self, name: &'static str, class: Class, namespace: &'static str, count: usize) {
        for _ in 0..count {
            let job = Job {
                name,
                class,
                namespace,
                done: 0,
                asked: self.now,
            };
            self.line_up(job);
        }
    }

    fn line_up(&mut self, job: Job) {
        let since = Timestamp::UNIX_EPOCH + job.asked;
        let urgency = match job.done {
            0 => Urgency::New,
            _ => Urgency::Begun,
        };
        let namespace = Arc::from(job.namespace);
        let class = job.class;
        let priority = Priority {
            class,
            namespace,
            urgency,
            since,
        };
        self.queue.push(priority, job);
    }

    /// Lets everything happen until that time.
    fn run(&mut self, until: Duration) {
        while self.now < until {
            let pause = self.send();
            let mut next = until;
            if let Some(((at, _), _)) = self.answers.first_key_value() {
                next = next.min(*at);
            }
            if let Some(pause) = pause {
                // A timer's resolution.
                next = next.min(self.now + pause.max(Duration::from_millis(1)));
            }
            self.now = next;
            while let Some(entry) = self.answers.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (job, sent, served) = entry.remove();
                self.answer(job, sent, served);
            }
        }
    }

    /// Sends what may go; how long until more may, if anything waits.
    fn send(&mut self) -> Option<Duration> {
        while !self.queue.is_empty() {
            if let Err(pause) = self.rate.take(self.start + self.now) {
                self.held_up = true;
                return Some(pause);
            }
            let job = self.queue.pop()?;
            let sent = Sent {
                at: self.start + self.now,
                held_up: self.held_up,
            };
            let served = self.aws_takes();
            let key = (self.now + self.round_trip, self.sent);
            self.answers.insert(key, (job, sent, served));
            self.sent += 1;
        }
        self.held_up = false;
        None
    }

    fn aws_takes(&mut self) -> bool {
        let passed = (self.now - self.filled).as_secs_f64();
        self.filled = self.now;
        self.tokens = (self.tokens + passed * self.allowed).min(self.burst);
        let served = self.tokens >= 1.0;
        if served {
            self.tokens -= 1.0;
        }
        served
    }

    fn answer(&mut self, mut job: Job, sent: Sent, served: bool) {
        if !served {
            self.throttled += 1;
            self.rate.throttled(sent, self.start + self.now);
            return self.line_up(job);
        }
        self.taken += 1;
        self.rate.taken(sent);
        job.done += 1;
        if job.done == CALLS {
            self.finished.push((job.name, self.now));
        } else {
            self.line_up(job);
        }
    }

    fn when_done(&self, name: &str) -> Vec<Duration> {
        let all = self.finished.iter().filter(|(n, _)| *n == name);
        all.map(|(_, at)| *at).collect()
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn ten_calls_a_second_are_used_up_and_hardly_any_is_throttled() {
    for (burst, round_trip) in [(1.0, 20), (10.0, 20), (10.0, 300), (100.0, 50)] {
        let mut sim = Sim::new(10.0, burst, round_trip);
        sim.ask("issue", Class::Issue, "a", 5000);
        sim.run(seconds(180));
        let used = sim.taken as f64 / (180.0 * 10.0 + burst);
        let throttled = sim.throttled as f64 / sim.sent as f64;
        let case =
            format!("burst {burst}, {round_trip} ms: {used:.3} used, {throttled:.4} throttled");
        assert!(used >= 0.9 && throttled < 0.02, "{case}");
    }
}

#[test]
fn the_same_holds_for_other_limits() {
    for allowed in [3.0, 50.0, 400.0] {
        let mut sim = Sim::new(allowed, allowed, 50);
        sim.ask("issue", Class::Issue, "a", 100_000);
        sim.run(seconds(180));
        let used = sim.taken as f64 / (181.0 * allowed);
        let throttled = sim.throttled as f64 / sim.sent as f64;
        let case = format!("{allowed}/s: {used:.3} used, {throttled:.4} throttled");
        assert!(used >= 0.85 && throttled < 0.03, "{case}");
    }
}

#[test]
fn without_a_limit_the_search_reaches_thousands_in_seconds() {
    let mut sim = Sim::new(1e9, 1e9, 20);
    sim.ask("issue", Class::Issue, "a", 20_000);
    sim.run(seconds(5));
    let rate = sim.rate.per_second();
    assert!(rate >= 1200.0, "{rate}");
}

#[test]
fn a_rate_that_nobody_uses_up_does_not_grow() {
    let mut sim = Sim::new(1e9, 1e9, 20);
    for second in 0..600 {
        sim.ask("issue", Class::Issue, "a", 1);
        sim.run(seconds(second + 1));
    }
    assert_eq!(sim.rate.per_second(), 5.0);
}

#[test]
fn a_cap_is_kept() {
    let mut sim = Sim::new(1e9, 1e9, 20);
    sim.rate.set_cap(Some(10.0));
    sim.ask("issue", Class::Issue, "a", 5000);
    sim.run(seconds(60));
    assert!(sim.sent <= 603, "{}", sim.sent);
    assert!(sim.sent >= 590, "{}", sim.sent);
}

#[test]
fn a_limit_that_rises_is_found_again() {
    let mut sim = Sim::new(1.0, 1.0, 50);
    sim.ask("issue", Class::Issue, "a", 100_000);
    sim.run(seconds(120));
    assert!(sim.rate.per_second() < 2.0, "{}", sim.rate.per_second());
    (sim.allowed, sim.burst) = (100.0, 100.0);
    sim.run(seconds(240));
    assert!(sim.rate.per_second() > 80.0, "{}", sim.rate.per_second());
}

#[test]
fn calls_of_one_round_trip_cut_the_rate_once() {
    let start = Instant::now();
    let mut rate = Rate::new(100.0, start);
    let held_up = true;
    let sent = Sent { at: start, held_up };
    for ms in 0..50 {
        rate.throttled(sent, start + Duration::from_millis(20 + ms));
    }
    assert_eq!(rate.per_second(), 50.0);
    rate.taken(sent);
    assert_eq!(rate.per_second(), 50.0, "an answer from before the cut");
}

/// Hence "twice its idle time at most": a new key alone takes AWS two seconds.
#[test]
fn a_burst_costs_a_request_of_another_namespace_one_turn_a_call() {
    let single = |load: usize, at: u64| {
        let mut sim = Sim::new(10.0, 10.0, 20);
        sim.ask("before", Class::Issue, "busy", 20 + load);
        sim.run(seconds(at));
        sim.ask("single", Class::Issue, "other", 1);
        sim.run(seconds(at + 60));
        sim.when_done("single")[0] - seconds(at)
    };
    let idle = single(0, 60);
    for at in [1, 7, 30, 61, 90] {
        let loaded = single(5000, at);
        let turns = Duration::from_millis(120) * CALLS;
        let case = format!("{idle:?} when idle, {loaded:?} in the burst at {at} s");
        assert!(loaded <= idle + turns, "{case}");
    }
}

#[test]
fn what_was_begun_is_finished_first() {
    let mut sim = Sim::new(10.0, 10.0, 20);
    sim.ask("issue", Class::Issue, "a", 1000);
    sim.run(seconds(60));
    let done = sim.when_done("issue").len() as u64;
    assert!(
        sim.taken < (done + 3) * u64::from(CALLS),
        "{done} of {}",
        sim.taken
    );
}

#[test]
fn revocation_overtakes_a_burst() {
    let mut sim = Sim::new(10.0, 10.0, 20);
    sim.ask("issue", Class::Issue, "a", 5000);
    sim.run(seconds(60));
    let before = sim.when_done("issue").len();
    sim.ask("revoke", Class::Revoke, "b", 30);
    sim.run(seconds(75));
    assert_eq!(sim.when_done("revoke").len(), 30);
    // What was on the wire when the revocations came, and the round trips in
    // which no revocation waits.
    let meanwhile = sim.when_done("issue");
    let last = sim.when_done("revoke")[29];
    let meanwhile = meanwhile[before..].iter().filter(|at| **at < last);
    assert!(meanwhile.count() <= 3);
}

#[test]
fn work_is_begun_by_the_budget() {
    let issue = |per_second| slots(Class::Issue, per_second);
    assert_eq!(issue(0.5), 4);
    assert_eq!(issue(10.0), 20);
    assert_eq!(issue(f64::INFINITY), 128);
    assert_eq!(issue(f64::NAN), 4);
    assert_eq!(slots(Class::Revoke, f64::INFINITY), 256);
}

/// Five thousand leases ended while IAM was away; it comes back at ten calls a
/// second, and new requests wait.
#[test]
fn what_ended_in_an_outage_is_revoked_before_anything_is_issued() {
    let mut sim = Sim::new(10.0, 10.0, 20);
    sim.ask("issue", Class::Issue, "new", 500);
    sim.ask("revoke", Class::Revoke, "old", 5000);
    sim.run(seconds(2000));
    let revoked = sim.when_done("revoke");
    assert_eq!(revoked.len(), 5000);
    let last = revoked[4999];
    assert!(last < seconds(5000 * 3 / 9), "{last:?}");
    let meanwhile = sim.when_done("issue").into_iter().filter(|at| *at < last);
    assert!(meanwhile.count() <= 3, "what was on the wire at the start");
}

/// Scenario 16: hours of it, and neither a storm nor half-made users.
#[test]
fn one_call_a_second_serves_a_burst_of_ten_thousand_in_its_order() {
    let mut sim = Sim::new(1.0, 1.0, 50);
    sim.ask("issue", Class::Issue, "a", 10_000);
    for hour in 1..=10 {
        sim.run(seconds(hour * 3600));
        let done = sim.when_done("issue").len() as u64;
        let half_made = sim.taken - done * u64::from(CALLS);
        assert!(
            half_made <= 3 * u64::from(CALLS),
            "{half_made} at hour {hour}"
        );
    }
    assert_eq!(sim.when_done("issue").len(), 10_000);
    // At so low a rate each look for more weighs more than at ten a second.
    let throttled = sim.throttled as f64 / sim.sent as f64;
    assert!(throttled < 0.06, "{throttled:.3} throttled");
}
