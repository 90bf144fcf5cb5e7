//! Bounded repetition of a call: a handful of tries within seconds, with jitter; the rest is the controller's backoff.

use std::{future::Future, time::Duration};

use backon::{ExponentialBuilder, Retryable};

use super::ClusterError;

/// A server that asks for more than this is asked again by the next reconcile.
const LONGEST: Duration = Duration::from_secs(5);

/// Calls until it succeeds, the error is not `worth` another try, or five tries were made.
pub(super) async fn bounded<T, F>(
    call: impl FnMut() -> F,
    worth: impl FnMut(&ClusterError) -> bool,
) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, ClusterError>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(150))
        .with_max_delay(LONGEST)
        .with_max_times(4)
        .with_jitter();
    call.retry(backoff)
        .when(worth)
        .adjust(|error, delay| match error.retry_after() {
            Some(asked) => delay.map(|delay| delay.max(asked.min(LONGEST))),
            None => delay,
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn tries(seconds: u64, transient: bool) -> u32 {
        let count = AtomicU32::new(0);
        let call = || async {
            count.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(ClusterError::Timeout { seconds })
        };
        bounded(call, |_| transient).await.unwrap_err();
        count.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_five_tries_and_at_once_on_what_is_final() {
        assert_eq!((tries(1, true).await, tries(1, false).await), (5, 1));
    }
}
