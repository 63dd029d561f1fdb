//! Panics of targets, caught and told once: while an input is shrunk the same
//! one comes hundreds of times.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::Told;

thread_local! {
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    static HEARD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the target; a panic is a broken promise with its place.
pub fn run(target: impl Fn(&[u8]) -> Told, input: &[u8]) -> Told {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if LISTENS.get() {
                HEARD.set(panic.to_string());
            } else {
                usual(panic);
            }
        }));
    });
    LISTENS.set(true);
    let told = catch_unwind(AssertUnwindSafe(|| target(input)));
    LISTENS.set(false);
    told.unwrap_or_else(|_| Err(HEARD.take()))
}
