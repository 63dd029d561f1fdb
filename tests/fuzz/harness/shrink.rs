//! From an input that breaks a promise to a small one that does.

/// How often it is tried with something left out.
const TRIES: usize = 3_000;

/// Leaves out runs of bytes, long ones first, as long as it still fails.
pub fn shrink(input: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut small = input;
    let mut run = small.len() / 2;
    let mut tries = TRIES;
    while run > 0 {
        let mut at = 0;
        while at + run <= small.len() && tries > 0 {
            tries -= 1;
            let less = [&small[..at], &small[at + run..]].concat();
            if fails(&less) {
                small = less;
            } else {
                at += run;
            }
        }
        run /= 2;
    }
    small
}

#[test]
fn what_does_not_matter_is_left_out() {
    let fails = |input: &[u8]| input.windows(2).any(|w| w == b"]]");
    let small = shrink(b"<a>[1, 2, [3, []]]</a>".to_vec(), fails);
    assert_eq!(small, b"]]");
}
