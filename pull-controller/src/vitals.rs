//! Whether the program's own loops are alive, and doing something about one that is not.
//!
//! Every loop gives a sign of life each time round. One that gave none for its bound is dropped and begun anew; what cannot
//! be begun anew makes `/healthz` fail, and the kubelet restarts the container.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::metrics::{Metrics, Stalled};

/// How often a loop gives a sign of life, and is looked after.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// The pause before a loop that ended or hung is begun anew; it lasts longer each time it does so at once.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Readiness, and the signs of life of each loop. Clones are about the same program.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    ready: bool,
    loops: BTreeMap<&'static str, Life>,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    last: Instant,
    bound: Duration,
    /// It hangs and cannot be stopped.
    lost: bool,
}

impl Vitals {
    /// Says whether the caches are filled and work is taken.
    pub fn ready(&self, ready: bool) {
        self.with(|inner| inner.ready = ready);
    }

    /// True if the caches are filled, work is taken and all loops live.
    pub fn is_ready(&self) -> bool {
        self.with(|inner| inner.ready) && self.dead().is_none()
    }

    /// A loop begins, and promises a sign of life within each `bound`.
    pub(crate) fn begin(&self, name: &'static str, bound: Duration) {
        self.with(|inner| inner.loops.insert(name, Life { last: Instant::now(), bound, lost: false }));
    }

    /// A sign of life.
    pub(crate) fn beat(&self, name: &'static str) {
        self.with(|inner| {
            if let Some(life) = inner.loops.get_mut(name) {
                life.last = Instant::now();
            }
        });
    }

    /// A loop has ended because it was told to.
    pub(crate) fn end(&self, name: &'static str) {
        self.with(|inner| inner.loops.remove(name));
    }

    /// Something in a loop hangs and cannot be stopped from within this process.
    pub(crate) fn lost(&self, name: &'static str) {
        self.with(|inner| {
            if let Some(life) = inner.loops.get_mut(name) {
                life.lost = true;
            }
        });
    }

    fn silence(&self, name: &'static str) -> Option<Duration> {
        self.with(|inner| inner.loops.get(name).map(|life| life.last.elapsed()))
    }

    /// A loop that only a restart of the process helps: it was not heard of for twice its bound, so nobody who looks
    /// after it has begun it anew either.
    pub fn dead(&self) -> Option<&'static str> {
        self.with(|inner| {
            let dead = inner.loops.iter().find(|(_, life)| life.lost || life.last.elapsed() > 2 * life.bound);
            dead.map(|(name, _)| *name)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a loop for ever: one that ends, panics or gives no sign of life for `bound` is dropped and begun anew.
pub(crate) async fn kept_alive<F>(
    name: &'static str,
    bound: Duration,
    vitals: Vitals,
    metrics: Metrics,
    mut begin: impl FnMut() -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = PAUSE;
    loop {
        vitals.begin(name, bound);
        let (began, mut work) = (Instant::now(), AbortOnDrop(tokio::spawn(begin())));
        let mut ticks = interval(BEAT.min(bound / 2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let why = loop {
            tokio::select! {
                ended = &mut work.0 => break if ended.is_err() { "it panicked" } else { "it ended" },
                _ = ticks.tick() => {
                    if vitals.silence(name).is_some_and(|silence| silence > bound) {
                        break "it gave no sign of life";
                    }
                }
            }
        };
        drop(work);
        metrics.stalled(Stalled::Loop);
        pause = if began.elapsed() > LONGEST_PAUSE { PAUSE } else { (2 * pause).min(LONGEST_PAUSE) };
        tracing::error!(r#loop = name, reason = "Stalled", pause = pause.as_secs(), "{why}; it is begun anew");
        // While it pauses it is no loop that hangs.
        vitals.begin(name, bound.max(2 * LONGEST_PAUSE));
        sleep(pause).await;
    }
}

/// A task that ends with whoever holds it.
pub(crate) struct AbortOnDrop<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_ends_or_panics_is_begun_anew() {
        let (vitals, metrics, begun) = (Vitals::default(), Metrics::new(), Arc::new(AtomicUsize::new(0)));
        vitals.ready(true);
        let (counted, alive) = (begun.clone(), vitals.clone());
        let keeper =
            AbortOnDrop(tokio::spawn(kept_alive("test", MINUTE, vitals.clone(), metrics.clone(), move || {
                let (round, alive) = (counted.fetch_add(1, Ordering::SeqCst), alive.clone());
                async move {
                    match round {
                        0 => std::future::pending().await,
                        1 => panic!("a bug"),
                        2 => {}
                        _ => loop {
                            alive.beat("test");
                            sleep(BEAT).await;
                        },
                    }
                }
            })));
        sleep(60 * MINUTE).await;
        assert_eq!(begun.load(Ordering::SeqCst), 4);
        assert_eq!((vitals.dead(), vitals.is_ready()), (None, true));
        assert!(metrics.render().unwrap().contains("sealift_stalls_total{what=\"loop\"} 3"));
        drop(keeper);
        sleep(3 * MINUTE).await;
        assert_eq!((vitals.dead(), vitals.is_ready()), (Some("test"), false), "nobody looks after it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_stopped_is_dead_and_what_ended_is_not() {
        let vitals = Vitals::default();
        vitals.begin("a", MINUTE);
        assert_eq!(vitals.dead(), None);
        vitals.lost("a");
        assert_eq!(vitals.dead(), Some("a"));
        vitals.end("a");
        sleep(5 * MINUTE).await;
        assert_eq!(vitals.dead(), None);
    }
}
