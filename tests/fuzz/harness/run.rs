//! One target, for as long as it has.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Told, corpus, mutate, quiet, shrink};

/// Inputs of a target where no time is given.
const INPUTS: u64 = 3_000;
/// The longest that these may take, on a machine that has better to do.
const SHORT: Duration = Duration::from_secs(10);
/// Where the run of a moment starts from: what passes today passes tomorrow.
/// Who gives it time looks elsewhere each time.
const SEED: u64 = 1;
/// Most texts in the pool: where everything is new, nothing is.
const POOL: usize = 4_096;

/// How long the run is, and from where.
struct Plan {
    inputs: u64,
    time: Duration,
    seed: u64,
}

impl Plan {
    /// From the environment: `FUZZ_SECONDS` for all targets together, side by
    /// side as tests run; `FUZZ_SEED` (without: any, if there is time).
    fn read() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|t| !t.is_empty())?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|e| panic!("{name}={text}: {e}")),
            )
        };
        let seconds = number("FUZZ_SECONDS");
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let share =
            |all| Duration::from_secs(all).mul_f64(at_once as f64 / corpus::targets() as f64);
        Self {
            inputs: seconds.map_or(INPUTS, |_| u64::MAX),
            time: seconds.map_or(SHORT, share),
            seed: number("FUZZ_SEED").unwrap_or_else(|| match seconds {
                Some(_) => fastrand::u64(..),
                None => SEED,
            }),
        }
    }
}

/// Replays the corpus of the target, then mutates it. Words of the format make
/// the mutations better.
pub fn fuzz(target: &str, tokens: &[&str], judge: impl Fn(&[u8]) -> Told) {
    let plan = Plan::read();
    let mut rng = Rng::with_seed(plan.seed);
    let mut seen = HashSet::new();
    let mut pool = Vec::new();
    for seed in corpus::read(target) {
        match quiet::run(&judge, &seed.text) {
            Ok(did) => seen.insert(did),
            Err(broken) => panic!("{target}: corpus file {}: {broken}", seed.name),
        };
        pool.push(seed.text);
    }
    let begun = Instant::now();
    let mut inputs = 0;
    while inputs < plan.inputs && begun.elapsed() < plan.time {
        let input = mutate::mutant(&pool, tokens, &mut rng);
        inputs += 1;
        match quiet::run(&judge, &input) {
            Ok(did) if pool.len() < POOL && seen.insert(did) => pool.push(input),
            Ok(_) => {}
            Err(_) => found(target, plan.seed, inputs, input, &judge),
        }
    }
    let rate = inputs as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{target}: {inputs} inputs, {rate:.0} a second, {} different outcomes, FUZZ_SEED={}",
        seen.len(),
        plan.seed
    );
}

/// Tells of an input that broke a promise, made small.
fn found(target: &str, seed: u64, number: u64, input: Vec<u8>, judge: impl Fn(&[u8]) -> Told) -> ! {
    let small = shrink::shrink(input, |less| quiet::run(&judge, less).is_err());
    let broken = quiet::run(&judge, &small).unwrap_err();
    let path = corpus::keep(target, &small);
    panic!(
        "{target}: {broken}\ninput {number} of FUZZ_SEED={seed}, made small: {:?}\nIt is in {}: give \
         it a name in tests/fuzz/corpus/{target} when it is mended.",
        String::from_utf8_lossy(&small),
        path.display()
    );
}
