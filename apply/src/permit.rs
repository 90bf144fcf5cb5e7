//! Until when the work at hand may write.
//!
//! Where several replicas share work, each may write only as long as its lease lasts, by its own monotonic clock: whoever
//! cannot renew it, or was stopped in between, ends by itself before another takes over. So whoever runs a piece of work
//! gives it a [`Permit`], and every write asks it and takes no longer than it lasts. Outside of such a task there is no limit.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Permit;
}

/// What is left must be at least so much, or a write is not begun: it could not end in time.
const LEAST: Duration = Duration::from_millis(50);

/// Until when somebody may write. Clones are the same permit; the default one lasts for ever.
#[derive(Clone, Debug, Default)]
pub struct Permit(Option<Arc<Mutex<Until>>>);

#[derive(Clone, Copy, Debug)]
enum Until {
    At(Instant),
    /// It is never given again.
    Ended,
}

/// How long the work at hand may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// As long as it takes.
    Unlimited,
    /// For so long.
    For(Duration),
    /// Not at all.
    Nothing,
}

impl Permit {
    /// One that lasts until then, unless it is prolonged.
    pub fn until(at: Instant) -> Self {
        Self(Some(Arc::new(Mutex::new(Until::At(at)))))
    }

    /// It lasts until then. One that has ended for good stays so.
    pub fn prolong(&self, at: Instant) {
        if let Some(mut until) = self.inner()
            && let Until::At(_) = *until
        {
            *until = Until::At(at);
        }
    }

    /// It ends now, for good.
    pub fn end(&self) {
        if let Some(mut until) = self.inner() {
            *until = Until::Ended;
        }
    }

    /// How long it lasts.
    pub fn left(&self) -> Left {
        match self.inner().map(|until| *until) {
            None => Left::Unlimited,
            Some(Until::Ended) => Left::Nothing,
            Some(Until::At(at)) => match at.saturating_duration_since(Instant::now()) {
                left if left < LEAST => Left::Nothing,
                left => Left::For(left),
            },
        }
    }

    /// True while something may be written.
    pub fn lasts(&self) -> bool {
        self.left() != Left::Nothing
    }

    /// Does the work under this permit.
    pub async fn over<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    fn inner(&self) -> Option<MutexGuard<'_, Until>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long the work at hand may write.
pub fn left() -> Left {
    CURRENT.try_with(Permit::left).unwrap_or(Left::Unlimited)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_permit_runs_out_by_itself_is_prolonged_and_ends_for_good() {
        let second = Duration::from_secs(1);
        assert_eq!((left(), Permit::default().left()), (Left::Unlimited, Left::Unlimited));
        let permit = Permit::until(Instant::now() + 3 * second);
        let held = permit.clone();
        permit
            .clone()
            .over(async {
                sleep(second).await;
                assert_eq!(left(), Left::For(2 * second));
                sleep(2 * second).await;
                assert_eq!(left(), Left::Nothing);
                held.prolong(Instant::now() + second);
                assert_eq!(left(), Left::For(second));
                held.end();
                held.prolong(Instant::now() + second);
                assert_eq!(left(), Left::Nothing);
            })
            .await;
        assert!(!permit.lasts());
    }
}
