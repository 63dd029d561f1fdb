//! Precedence as data: rules with names, asked in the order of their list.

use jiff::Timestamp;

use super::Step;
use super::view::View;

/// A rule: its name, and what it is asked with.
pub(super) type Rule<F> = (&'static str, F);

/// What a rule for any request says; `None` leaves the word to the next.
pub(super) type Answer = fn(&View, Timestamp) -> Option<Step>;

/// The list of these functions with their names.
macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        &[$((stringify!($rule), $rule)),*]
    };
}
pub(super) use rules;

/// The first rule that has a step, by its name.
pub(super) fn first<F>(
    rules: &[Rule<F>],
    ask: impl Fn(&F) -> Option<Step>,
) -> Option<(&'static str, Step)> {
    let mut answers = rules.iter();
    answers.find_map(|(name, rule)| ask(rule).map(|step| (*name, step)))
}
