//! Signals: heard from the moment that there is something to clean up.

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::error::Failure;

/// The signals that ask to end.
const ENDING: [SignalKind; 4] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::quit(),
];
/// Those that mean something to some programs.
const OTHERS: [SignalKind; 3] = [
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    SignalKind::window_change(),
];

/// Signals as a queue. None of them ends the process any more.
pub(super) struct Signals {
    queue: mpsc::Receiver<i32>,
    // Kept, so that the queue never ends.
    _sender: mpsc::Sender<i32>,
}

impl Signals {
    /// Hears what asks to end.
    pub fn ending() -> Result<Self, Failure> {
        Self::of(&ENDING)
    }

    /// Hears everything that is worth handing on to a child.
    pub fn all() -> Result<Self, Failure> {
        Self::of(&[&ENDING[..], &OTHERS[..]].concat())
    }

    fn of(kinds: &[SignalKind]) -> Result<Self, Failure> {
        let (sender, queue) = mpsc::channel(16);
        for kind in kinds {
            let number = kind.as_raw_value();
            let mut heard = signal(*kind)
                .map_err(|e| Failure::new(format!("cannot listen for signal {number}: {e}")))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while heard.recv().await.is_some() && sender.send(number).await.is_ok() {}
            });
        }
        Ok(Self {
            queue,
            _sender: sender,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> i32 {
        match self.queue.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }

    /// The next signal that asks to end.
    pub async fn next_ending(&mut self) -> i32 {
        loop {
            let number = self.next().await;
            if ENDING.iter().any(|kind| kind.as_raw_value() == number) {
                return number;
            }
        }
    }
}

/// Hands a signal on to a child.
///
/// rustix is what the standard library lacks here: its `kill` takes a typed
/// signal and a pid that is never 0 or negative, in safe code, and tokio's
/// children know no other signal than SIGKILL. It is in the tree already; of
/// its features we use `process` and `termios`.
pub(super) fn forward(number: i32, child: Option<u32>) {
    let signal = Signal::from_named_raw(number);
    let pid = child
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let (Some(signal), Some(pid)) = (signal, pid)
        && !keyboard_told_it(signal)
    {
        // A child that has ended in this moment needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// Whether the terminal gave the child this signal itself: Ctrl-C goes to the
/// whole foreground group. A second one would tell programs such as terraform
/// to drop everything at once.
fn keyboard_told_it(signal: Signal) -> bool {
    let from_terminal = [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&signal);
    from_terminal && tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == getpgrp())
}
