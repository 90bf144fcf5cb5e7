//! Telling whoever watches over a piece of work that it gets on.
//!
//! A task that only waits looks like one that hangs. So whoever runs it gives it a [`Progress`], each step says when it
//! begins, and every answer of the cluster counts as getting on. The other way round, the work is asked by it to come to an
//! end. Outside of such a task all of this does nothing.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Progress;
}

/// No more steps are remembered.
const MOST_STEPS: usize = 32;

/// How far a piece of work got, and when it last got on. Clones are about the same work.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// When it last got on, and with which step.
    last: Mutex<(Instant, &'static str)>,
    /// When each step began.
    trail: Mutex<Vec<(&'static str, SystemTime)>>,
    is_ending: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        let last = Mutex::new((Instant::now(), "begin"));
        Self(Arc::new(Shared { last, trail: Mutex::default(), is_ending: AtomicBool::new(false) }))
    }
}

impl Progress {
    /// Does the work under this watch.
    pub async fn over<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The step it is at, and for how long nothing was heard of it.
    pub fn silence(&self) -> (&'static str, Duration) {
        let (at, step) = *self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        (step, at.elapsed())
    }

    /// Asks it to come to an end: what it has sent is answered, and it sends no further objects.
    pub fn end_soon(&self) {
        self.0.is_ending.store(true, Ordering::Relaxed);
    }

    fn note(&self, step: Option<&'static str>) {
        let mut inner = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = (Instant::now(), step.unwrap_or(inner.1));
        if let Some(step) = step {
            let mut trail = self.0.trail.lock().unwrap_or_else(PoisonError::into_inner);
            if trail.len() < MOST_STEPS {
                trail.push((step, SystemTime::now()));
            }
        }
    }
}

/// The work at hand gets to its next step.
pub fn step(name: &'static str) {
    let _ = CURRENT.try_with(|progress| progress.note(Some(name)));
}

/// The steps of the work at hand and when each began, the first few.
pub fn trail() -> Vec<(&'static str, SystemTime)> {
    let of = |progress: &Progress| progress.0.trail.lock().unwrap_or_else(PoisonError::into_inner).clone();
    CURRENT.try_with(of).unwrap_or_default()
}

/// The work at hand got on.
pub fn made() {
    let _ = CURRENT.try_with(|progress| progress.note(None));
}

/// True once the work at hand was asked to come to an end.
pub fn is_ending() -> bool {
    CURRENT.try_with(|progress| progress.0.is_ending.load(Ordering::Relaxed)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_tells_its_step_and_when_it_last_got_on() {
        let progress = Progress::default();
        let watched = progress.clone();
        let second = Duration::from_secs(1);
        let work = progress.over(async {
            step("fetch");
            tokio::time::sleep(3 * second).await;
            assert_eq!(watched.silence(), ("fetch", 3 * second));
            made();
            tokio::time::sleep(second).await;
            assert_eq!(watched.silence(), ("fetch", second));
            (0..100).for_each(|_| step("verify"));
            let steps: Vec<_> = trail().into_iter().map(|(step, _)| step).collect();
            assert_eq!((steps.len(), &steps[..2]), (MOST_STEPS, &["fetch", "verify"][..]));
            step("fetch");
        });
        work.await;
        assert!(trail().is_empty());
        assert!(!watched.clone().over(async { is_ending() }).await);
        watched.end_soon();
        assert!(watched.clone().over(async { is_ending() }).await && !is_ending());
        step("nobody watches");
        made();
        assert_eq!(watched.silence(), ("fetch", Duration::ZERO));
    }
}
