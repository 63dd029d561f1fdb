//! Clusters that are copies of each other, in any weather: they never act at
//! the same time ([`World::run`] holds them to it), and when the weather is fair
//! again one word is enough.

use jiff::SignedDuration;

use super::world::{TIMING, Weather, World};

const FOUL: Weather = Weather {
    lag: TIMING.settle,
    lost: 0.1,
    paused: 0.05,
    deaths: 0.03,
};

fn play(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut weather = FOUL;
    if rng.bool() {
        weather.paused = 0.0;
    }
    if rng.bool() {
        weather.deaths = 0.0;
    }
    let mut world = match rng.u8(0..4) {
        0 => World::new(weather, seed),
        _ => World::settled(weather, seed),
    };
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
    world.run(90);
    if !world.acts(chosen) && world.is_stopped(chosen) {
        world.confirm(chosen);
        world.run(90);
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
        play(seed);
    }
}

#[test]
#[ignore = "a minute: for a change of the protocol"]
fn copies_never_act_at_the_same_time_for_long() {
    for seed in 600..30_000 {
        play(seed);
    }
}
