//! An AWS that asks to slow down, and calls that never get their turn: neither
//! is the request's fault, and it is not held against it.

use super::operator::{Mishap, Operator};
use super::world;
use super::world::World;

/// A life: issued, then deleted. What was asked of AWS, and how many failures
/// the status counts.
fn live(mishaps: &[(usize, Mishap)]) -> (Vec<String>, Option<i32>) {
    let mut world = world();
    let mut operator = Operator::with_mishaps(mishaps);
    operator.settle(&mut world);
    let failures = failures(&world);
    assert_eq!(world.keys(), ["AKIA1"], "{mishaps:?}");
    world.delete_request();
    operator.settle(&mut world);
    assert!(world.request.is_none() && world.user.is_none());
    let calls = world.aws_calls().into_iter().map(str::to_owned);
    (calls.collect(), failures)
}

fn failures(world: &World) -> Option<i32> {
    let request = world.request.as_ref()?;
    request.status.as_ref()?.failures
}

#[test]
fn neither_throttling_nor_waiting_changes_what_is_done() {
    let in_peace = live(&[]).0;
    // As long as a life is, Kubernetes' part included.
    for at in 0..14 {
        for (mishap, times) in [(Mishap::Throttled, 3), (Mishap::Unsent, 20)] {
            let mishaps: Vec<_> = (at..at + times).map(|n| (n, mishap)).collect();
            let case = format!("{mishap:?} at effect {at}");
            let (mut calls, failures) = live(&mishaps);
            // A refusal is no proof: before a key is asked for again, those that
            // there are are listed.
            calls.retain(|call| call != "list_keys");
            assert_eq!((calls, failures), (in_peace.clone(), None), "{case}");
        }
    }
}

#[test]
fn a_call_that_is_throttled_again_and_again_is_told_and_tried_later() {
    // Begin, dry run, then CreateUser again and again.
    let mishaps: Vec<_> = (2..6).map(|n| (n, Mishap::Throttled)).collect();
    let mut world = world();
    let mut operator = Operator::with_mishaps(&mishaps);
    let soon = world.now + jiff::SignedDuration::from_millis(500);
    operator.run_until(&mut world, soon);
    assert_eq!(failures(&world), Some(1));
    let reports = world.applied.iter().filter(|e| *e == "report");
    assert_eq!(reports.count(), 1);
    operator.settle(&mut world);
    assert_eq!(failures(&world), None);
    assert_eq!(world.keys(), ["AKIA1"]);
}
