//! Clusters that are copies of each other, in any weather: they never act at
//! the same time ([`World::run`] holds them to it), and when the weather is fair
//! again one word is enough.

use std::panic::catch_unwind;

use jiff::SignedDuration;

use super::flaws::Flaw;
use super::world::{TIMING, Weather, World};

const FOUL: Weather = Weather {
    lag: TIMING.settle,
    lost: 0.1,
    paused: 0.05,
    deaths: 0.03,
    refused: 0.1,
};

fn play(seed: u64, flaw: Option<Flaw>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut weather = FOUL;
    if rng.bool() {
        weather.paused = 0.0;
    }
    if rng.bool() {
        weather.deaths = 0.0;
    }
    if rng.bool() {
        weather.refused = 0.0;
    }
    let mut world = match rng.u8(0..4) {
        0 => World::new(weather, seed),
        _ => World::settled(weather, seed),
    };
    world.flaw = flaw;
    world.confined = rng.bool();
    world.skew = [0, 10, 3_600][rng.usize(0..3)];
    if world.clusters[0].process.is_none() {
        world.start(0);
    }
    for _ in 0..rng.u8(2..9) {
        world.run(rng.i64(0..60));
        let at = rng.usize(0..world.clusters.len());
        match rng.u8(0..10) {
            0 | 1 if world.clusters.len() < 3 => {
                let copy = world.copy(["B", "C"][world.clusters.len() - 1]);
                world.start(copy);
            }
            2 => world.kill(at),
            3 if rng.bool() => world.start(at),
            3 => world.start_again(at),
            4 if world.clusters[at].process.is_some() => {
                world.view(at).releasing = true;
                world.wake(at);
            }
            5 => world.confirm(at),
            6 => world.remove_marker(),
            7 => world.run(301),
            8 => {
                if let Some(process) = &mut world.clusters[at].process {
                    process.cut_off = !process.cut_off;
                }
            }
            _ => {}
        }
    }
    // Fair weather, one word for one of them: that one goes on.
    world.weather = Weather {
        lag: TIMING.settle,
        ..Weather::FAIR
    };
    let chosen = rng.usize(0..world.clusters.len());
    for at in 0..world.clusters.len() {
        world.kill(at);
    }
    for at in 0..world.clusters.len() {
        if at == chosen || rng.bool() {
            world.start(at);
        }
    }
    world.run(200);
    if !world.acts(chosen) && world.is_stopped(chosen) {
        world.confirm(chosen);
        world.run(200);
    }
    let told = world.log.join("\n");
    assert!(world.acts(chosen), "seed {seed}: {told}");
    world.run(SignedDuration::from_mins(20).as_secs());
    assert!(world.acts(chosen), "seed {seed}: {told}");
}

#[test]
fn copies_never_act_at_the_same_time() {
    let seeds = 0..600;
    for seed in seeds {
        play(seed, None);
    }
}

#[test]
#[ignore = "a minute: for a change of the protocol"]
fn copies_never_act_at_the_same_time_for_long() {
    for seed in 600..30_000 {
        play(seed, None);
    }
}

/// Nobody is away, and answers are late and refused, and some lost. A holder whose
/// looks go unanswered for longer than one is good for counts as away: a copy of
/// the last minutes may go on in its place, and then the holder stops.
const BAD: Weather = Weather {
    lag: TIMING.settle,
    lost: 0.01,
    refused: 0.2,
    ..Weather::FAIR
};

/// A cluster in that weather, whose clocks differ, under a confined policy.
fn in_bad_weather(seed: u64) -> World {
    let mut world = World::settled(BAD, seed);
    world.confined = seed.is_multiple_of(2);
    world.skew = 3_600;
    world
}

#[test]
fn a_copy_acts_on_nothing_while_the_first_lives() {
    let mut acted = 0;
    for seed in 0..100 {
        let mut world = in_bad_weather(seed);
        let copy = world.copy("B");
        let late = world.rng.i64(0..600);
        world.run(late);
        world.start(copy);
        for _ in 0..600 {
            world.run(1);
            assert!(!world.acts(copy), "seed {seed}: {:#?}", world.log);
            acted += i32::from(world.acts(0));
        }
        assert!(world.is_stopped(copy), "seed {seed}: {:#?}", world.log);
    }
    assert!(
        acted > 40_000,
        "the first acted in {acted} of 60,000 seconds"
    );
}

#[test]
fn a_plain_restore_costs_one_word_at_most_in_any_weather() {
    for seed in 0..100 {
        let mut world = in_bad_weather(seed);
        let backup = world.clusters[0].record.clone();
        let since = world.rng.i64(0..1_200);
        world.run(since);
        world.kill(0);
        world.clusters[0].record = backup;
        world.start(0);
        world.run(300);
        if world.is_stopped(0) {
            world.confirm(0);
        }
        world.run(300);
        world.weather = Weather::FAIR;
        world.run(60);
        assert!(world.acts(0), "seed {seed}: {:#?}", world.log);
    }
}

#[test]
fn deliberate_mistakes_are_found() {
    const WITHIN: u64 = 1_000;
    for flaw in Flaw::ALL {
        let survives = |seed: &u64| catch_unwind(|| play(*seed, Some(flaw))).is_ok();
        let found = (0..WITHIN).find(|seed| !survives(seed));
        let seed = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?} is found by seed {seed}");
    }
}
