//! The life of an identity, one story a test.

use jiff::SignedDuration;

use super::world::{TIMING, Weather, World};
use crate::plan::identity::{Stage, Standing};

/// A start that has to wait for an answer has come to its end by then.
const LONG: i64 = 75;

const LAGGING: Weather = Weather {
    lag: TIMING.settle,
    ..Weather::FAIR
};

#[test]
fn the_first_start_acts_at_once() {
    let mut world = World::new(LAGGING, 1);
    world.start(0);
    world.run(3);
    assert!(world.acts(0), "{:#?}", world.log);
    assert_eq!(world.standing(0), Standing::Alone);
    assert_eq!(world.writes, 1);
}

#[test]
fn an_idle_hour_costs_few_calls_and_is_never_interrupted() {
    let mut world = World::settled(LAGGING, 2);
    (world.writes, world.reads) = (0, 0);
    for _ in 0..3600 {
        world.run(1);
        assert!(world.acts(0), "{:#?}", world.log);
    }
    assert!(world.writes <= 13, "{} writes", world.writes);
    assert!(world.reads <= 140, "{} reads", world.reads);
}

#[test]
fn a_new_pod_after_a_crash_goes_on_by_itself_within_a_minute() {
    let mut world = World::settled(LAGGING, 3);
    world.kill(0);
    world.start(0);
    world.run(45);
    assert!(!world.acts(0), "a holder may be about to answer");
    world.run(19);
    assert!(world.acts(0), "{:#?}", world.log);
    assert_eq!(world.standing(0), Standing::Alone);
}

#[test]
fn a_container_that_starts_again_in_its_pod_goes_on_at_once() {
    for farewell in [false, true] {
        let mut world = World::settled(LAGGING, 3);
        if farewell {
            world.view(0).releasing = true;
            world.wake(0);
            world.run(10);
        }
        world.kill(0);
        world.start_again(0);
        world.run(3);
        assert!(world.acts(0), "{:#?}", world.log);
    }
}

/// A copy that has begun to ask is not run over.
#[test]
fn what_a_pod_knows_is_no_answer_to_a_knock() {
    for seed in 0..200 {
        let mut world = World::settled(LAGGING, seed);
        let copy = world.copy("B");
        world.kill(0);
        world.start(copy);
        let late = world.rng.i64(0..70);
        world.run(late);
        world.start_again(0);
        world.run(180);
        let stopped = (0..2).filter(|at| world.is_stopped(*at)).count();
        assert!(stopped > 0, "{:#?}", world.log);
    }
}

#[test]
fn after_a_farewell_it_waits_less_and_a_standby_not_at_all() {
    for stood_by in [false, true] {
        let mut world = World::settled(LAGGING, 4);
        let before = world.clusters[0].record.as_ref().unwrap().newest().cloned();
        world.view(0).releasing = true;
        world.wake(0);
        world.run(3);
        assert!(!world.acts(0));
        assert!(world.clusters[0].record.as_ref().unwrap().released);
        if stood_by {
            world.start_with(0, Some(before));
        } else {
            world.start(0);
        }
        // The farewell itself may take five seconds to be seen.
        world.run(10);
        assert_eq!(world.acts(0), stood_by, "{:#?}", world.log);
        world.run(12);
        assert!(world.acts(0), "{:#?}", world.log);
    }
}

#[test]
fn a_copy_of_this_moment_stops_and_the_first_goes_on() {
    let mut world = World::settled(LAGGING, 5);
    let copy = world.copy("B");
    world.start(copy);
    for _ in 0..LONG {
        world.run(1);
        assert!(world.acts(0), "{:#?}", world.log);
    }
    assert_eq!(world.standing(0), Standing::Asked);
    assert!(matches!(world.standing(copy), Standing::Stopped(_)));
    // Also when the copy is restarted, and for as long as it is there.
    world.kill(copy);
    world.start(copy);
    world.run(3600);
    assert_eq!(world.standing(0), Standing::Asked);
    assert!(world.is_stopped(copy));
    // When it is gone, it is forgotten.
    world.kill(copy);
    world.run(16 * 60);
    assert_eq!(world.standing(0), Standing::Alone);
}

#[test]
fn an_older_copy_stops_though_the_first_is_away() {
    let mut world = World::settled(LAGGING, 6);
    let copy = world.copy("B");
    world.run(400);
    world.kill(0);
    world.start(copy);
    world.run(3600);
    assert!(world.is_stopped(copy));
    // The first comes back, and nobody has to say anything.
    world.start(0);
    world.run(LONG);
    assert!(world.acts(0), "{:#?}", world.log);
}

#[test]
fn two_copies_that_start_together_are_not_both_served() {
    for seed in 0..200 {
        let mut world = World::settled(LAGGING, seed);
        world.kill(0);
        let copy = world.copy("B");
        world.start(copy);
        let late = world.rng.i64(0..70);
        world.run(late);
        world.start(0);
        world.run(180);
        let stopped = [0, copy].into_iter().filter(|at| world.is_stopped(*at));
        assert!(stopped.count() >= 1, "{:#?}", world.log);
    }
}

#[test]
fn a_plain_restore_costs_one_confirmation() {
    let mut world = World::settled(LAGGING, 7);
    let backup = world.clusters[0].record.clone();
    world.run(3600);
    world.kill(0);
    world.clusters[0].record = backup;
    world.start(0);
    world.run(LONG);
    assert!(world.is_stopped(0));
    world.confirm(0);
    world.run(LONG);
    assert!(world.acts(0), "{:#?}", world.log);
    world.run(3600);
    assert_eq!(world.standing(0), Standing::Alone);
    assert!(!world.is_stopped(0));
}

#[test]
fn the_word_moves_the_identity_and_moves_it_once() {
    let mut world = World::settled(LAGGING, 8);
    let copy = world.copy("B");
    world.start(copy);
    world.run(LONG);
    world.confirm(copy);
    world.run(LONG);
    assert!(world.acts(copy), "{:#?}", world.log);
    assert!(world.is_stopped(0));
    // A copy of the copy has its annotation too, and that opens nothing.
    let mut third = world.copy("C");
    world.clusters[third].record = world.clusters[copy].record.clone();
    world.clusters[third].confirmed = world.clusters[copy].confirmed.clone();
    world.start(third);
    world.run(120);
    assert!(world.is_stopped(third) && world.acts(copy));
    // And back.
    third = 0;
    world.confirm(third);
    world.run(LONG);
    assert!(world.acts(0) && world.is_stopped(copy), "{:#?}", world.log);
}

#[test]
fn a_marker_that_somebody_deleted_is_made_anew() {
    let mut world = World::settled(LAGGING, 9);
    world.remove_marker();
    world.run(60);
    assert!(
        world.acts(0) && world.marker().is_some(),
        "{:#?}",
        world.log
    );
    assert_eq!(world.standing(0), Standing::Alone);
    world.kill(0);
    world.remove_marker();
    world.start(0);
    world.run(LONG);
    assert!(world.acts(0), "{:#?}", world.log);
}

#[test]
fn a_lost_record_costs_a_word_only_where_there_are_leases() {
    for has_leases in [true, false] {
        let mut world = World::settled(LAGGING, 10);
        world.kill(0);
        world.clusters[0].record = None;
        world.clusters[0].has_leases = has_leases;
        world.start(0);
        world.run(LONG);
        assert_eq!(world.is_stopped(0), has_leases);
        assert_eq!(world.acts(0), !has_leases);
    }
}

#[test]
fn whoever_cannot_look_does_not_act_and_goes_on_when_it_can() {
    let mut world = World::settled(LAGGING, 11);
    world.clusters[0].process.as_mut().unwrap().cut_off = true;
    world.run(60);
    assert!(!world.acts(0));
    assert_eq!(world.stage(0), Stage::Held);
    world.clusters[0].process.as_mut().unwrap().cut_off = false;
    world.run(30);
    assert!(world.acts(0), "{:#?}", world.log);
}

#[test]
fn the_last_account_that_goes_takes_the_marker_along() {
    let mut world = World::settled(LAGGING, 12);
    world.view(0).wanted = false;
    world.wake(0);
    world.run(15);
    assert_eq!(world.marker(), None);
    assert_eq!(world.clusters[0].record, None);
    assert!(!world.acts(0));
    world.start(0);
    world.run(5);
    assert!(world.acts(0), "as the first time: {:#?}", world.log);
}

#[test]
fn a_clock_that_was_set_back_is_no_reason_to_rest() {
    let mut world = World::settled(LAGGING, 13);
    world.kill(0);
    let record = world.clusters[0].record.as_mut().unwrap();
    record.written += SignedDuration::from_hours(24 * 365);
    world.start(0);
    world.run(LONG);
    assert!(world.acts(0));
    let written = world.clusters[0].record.as_ref().unwrap().written;
    assert!(written <= world.now);
}
