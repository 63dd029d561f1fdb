//! Mutations of text: what breaks parsers, and what gets past them.

use fastrand::Rng;

/// Longest input, in bytes. The largest thing of ours, a policy document, has
/// 2,048 characters.
const LONGEST: usize = 16 << 10;

/// What has been trouble somewhere, whatever the format.
const TOKENS: [&str; 32] = [
    "",
    "\0",
    "\n",
    " ",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    "<",
    "/>",
    "&#0;",
    ",",
    ":",
    "-",
    ".",
    "/",
    "0",
    "-1",
    "1e400",
    "9223372036854775807",
    "18446744073709551616",
    "null",
    "true",
    "\u{feff}",
    "\u{202e}é𝄞",
    "{{namespace}}",
    "9999-12-31T23:59:59Z",
    "-009999-01-01T00:00:00Z",
];

/// Between one and eight changes to one text of the pool.
pub fn mutant(pool: &[Vec<u8>], tokens: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut text = any(pool, rng).to_vec();
    for _ in 0..=rng.u8(0..8).min(rng.u8(0..8)) {
        change(&mut text, pool, tokens, rng);
    }
    text.truncate(LONGEST);
    text
}

fn any<'a>(pool: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    &pool[rng.usize(..pool.len())]
}

fn change(text: &mut Vec<u8>, pool: &[Vec<u8>], tokens: &[&str], rng: &mut Rng) {
    let (from, to) = range(text, rng);
    match rng.u8(0..12) {
        0 => text.truncate(from),
        1 => drop(text.drain(from..to)),
        2 => flip(text, from, |byte| byte ^ (1 << rng.u8(0..8))),
        3 => flip(text, from, |_| rng.u8(..)),
        4 => flip(text, from, |byte| {
            byte.wrapping_add(rng.u8(0..3)).wrapping_sub(1)
        }),
        // A run twice, or many times.
        5 => {
            let run = text[from..to].repeat(1 << rng.u8(0..6));
            insert(text, to, &run);
        }
        // A run from elsewhere in the text, or from another.
        6 => {
            let (a, b) = range(text, rng);
            let run = text[a..b].to_vec();
            insert(text, from, &run);
        }
        7 | 8 => {
            let other = any(pool, rng);
            let (a, b) = range(other, rng);
            text.splice(from..to, other[a..b].iter().copied());
        }
        9 => insert(text, from, TOKENS[rng.usize(..TOKENS.len())].as_bytes()),
        10 if !tokens.is_empty() => {
            let token = tokens[rng.usize(..tokens.len())];
            text.splice(from..to, token.bytes());
        }
        // What stands between two quotes or brackets: a whole value.
        _ => value(text, from, tokens, rng),
    }
}

/// Replaces the value around a place.
fn value(text: &mut Vec<u8>, at: usize, tokens: &[&str], rng: &mut Rng) {
    let edge = |byte: &u8| b"\"<>,:\n".contains(byte);
    let from = text[..at].iter().rposition(edge).map_or(0, |n| n + 1);
    let to = text[at..]
        .iter()
        .position(edge)
        .map_or(text.len(), |n| at + n);
    let all = TOKENS.len() + tokens.len();
    let chosen = rng.usize(..all);
    let token = TOKENS
        .get(chosen)
        .unwrap_or_else(|| &tokens[chosen - TOKENS.len()]);
    text.splice(from..to, token.bytes());
}

fn flip(text: &mut [u8], at: usize, mut with: impl FnMut(u8) -> u8) {
    if let Some(byte) = text.get_mut(at) {
        *byte = with(*byte);
    }
}

fn insert(text: &mut Vec<u8>, at: usize, run: &[u8]) {
    if text.len() + run.len() <= LONGEST {
        text.splice(at..at, run.iter().copied());
    }
}

/// Any part of the text, short ones mostly.
fn range(text: &[u8], rng: &mut Rng) -> (usize, usize) {
    let from = rng.usize(..=text.len());
    let most = (text.len() - from).min(1 << rng.u8(0..10));
    (from, from + rng.usize(..=most))
}
