//! Waiting for a condition, with a deadline and an error that says what was
//! waited for and what was seen last.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Polls `probe` until it answers `Some`, at most for `timeout`.
///
/// # Errors
/// When the time is up.
pub async fn until<T, F, Fut>(what: &str, timeout: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    until_ok(what, timeout, || {
        let attempt = probe();
        async move { attempt.await.ok_or("not yet") }
    })
    .await
}

/// Polls `probe` until it answers `Ok`, at most for `timeout`. The error of
/// the last attempt ends up in the message, so let it say what was seen.
///
/// # Errors
/// When the time is up.
pub async fn until_ok<T, E, F, Fut>(what: &str, timeout: Duration, probe: F) -> Result<T>
where
    E: Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    until_ok_while(what, timeout, || Ok(()), probe).await
}

/// The same, but gives up as soon as `alive` fails: there is no use in waiting
/// for a process that has ended.
///
/// # Errors
/// What `alive` says, or when the time is up.
pub async fn until_ok_while<T, E, F, Fut>(
    what: &str,
    timeout: Duration,
    mut alive: impl FnMut() -> Result<()>,
    mut probe: F,
) -> Result<T>
where
    E: Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        alive().with_context(|| format!("waiting for {what}"))?;
        let seen = match probe().await {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} for {what}; seen last: {seen:?}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_as_soon_as_the_probe_does() {
        let mut calls = 0;
        let value = until("the third call", Duration::from_secs(5), || {
            calls += 1;
            let now = calls;
            async move { (now == 3).then_some(now) }
        })
        .await;
        assert_eq!(value.ok(), Some(3));
    }

    #[tokio::test]
    async fn the_error_says_what_was_seen() {
        let result: Result<()> = until_ok("a miracle", Duration::ZERO, || async {
            Err("an ordinary day")
        })
        .await;
        let message = result.expect_err("no miracles").to_string();
        assert!(message.contains("a miracle"), "{message}");
        assert!(message.contains("an ordinary day"), "{message}");
    }
}
