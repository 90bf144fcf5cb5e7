//! Those who take turns from the queue: so many at once, each watched over, all given time to end.

use std::{collections::HashMap, future::Future, time::Duration};

use sealift_apply::progress::Progress;
use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    queue::{Key, Queue, Taken},
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
const LOOP: &str = "workers";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A look that made no progress for so long is ended.
    pub(crate) stall: Duration,
    /// How long looks that have begun may go on as if nothing were once somebody said stop: what is applied whole is better
    /// than half of it.
    pub(crate) leave: Duration,
    /// How long they may take then in all.
    pub(crate) grace: Duration,
}

/// How a look ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It says when it wants the next one; `None` waits for somebody to wake it.
    Wants(Option<Duration>),
    /// It made no progress at this step for so long, and was ended.
    Stalled { step: &'static str, silence: Duration },
    /// A bug; the panic's message is in the log.
    Panicked,
}

/// What is done with a turn, and what becomes of one that did not end by itself.
pub(crate) trait Work: Send + Sync + 'static {
    /// Looks at a Delivery, and says after which pause to look again.
    fn look(&self, taken: Taken) -> impl Future<Output = Option<Duration>> + Send + 'static;

    /// It stalled or panicked: says so, and after which pause to look again.
    fn broke(&self, key: &Key, ended: &Ended) -> Duration;
}

struct Running {
    key: Key,
    progress: Progress,
    abort: AbortHandle,
    /// Since when another replica is to look after it.
    unheld: Option<Instant>,
    /// Since when it should have ended.
    aborted: Option<(Instant, &'static str, Duration)>,
}

/// Takes turns until `stop` resolves, then waits for what has begun as long as the grace lasts, and asks it to come to an end
/// before. What is dropped then is safe to drop: the inventory was written before anything it names. False if something was,
/// so that the API server may still be at what it has sent.
pub(crate) async fn work(
    work: impl Work,
    queue: Queue,
    bounds: Bounds,
    vitals: Vitals,
    stop: impl Future<Output = ()>,
) -> bool {
    vitals.begin(LOOP, bounds.stall.max(4 * BEAT));
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Id, Running> = HashMap::new();
    let mut ticks = interval(BEAT.min(bounds.stall / 4).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    let (mut end, mut asked): (Option<Instant>, _) = (None, false);
    let last = bounds.grace.saturating_sub(bounds.leave);
    while end.is_none() || !tasks.is_empty() {
        tokio::select! {
            () = &mut stop, if end.is_none() => {
                queue.close();
                end = Some(Instant::now() + bounds.grace);
            }
            Some(taken) = queue.next(), if end.is_none() => {
                let (key, progress) = (taken.key.clone(), Progress::default());
                let abort = tasks.spawn(progress.clone().over(work.look(taken)));
                running.insert(abort.id(), Running { key, progress, abort, unheld: None, aborted: None });
            }
            Some(joined) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                let (id, ended) = match joined {
                    Ok((id, pause)) => (id, Ended::Wants(pause)),
                    Err(error) => (error.id(), Ended::Panicked),
                };
                let Some(Running { key, aborted, .. }) = running.remove(&id) else { continue };
                let ended = match (ended, aborted) {
                    (Ended::Panicked, Some((_, step, silence))) => Ended::Stalled { step, silence },
                    (ended, _) => ended,
                };
                let pause = match &ended {
                    Ended::Wants(pause) => *pause,
                    broken => Some(work.broke(&key, broken)),
                };
                queue.done(&key, pause);
            }
            _ = ticks.tick() => {
                vitals.beat(LOOP);
                for running in running.values_mut() {
                    running.look_after(bounds.stall, &vitals);
                    running.give_way(bounds.leave, &queue);
                }
            }
            () = sleep_until(end.map_or_else(Instant::now, |end| end - last)), if end.is_some() && !asked => {
                asked = true;
                tracing::info!(left = tasks.len(), "stopping: what is left sends what it has begun, and nothing else");
                running.values().for_each(|running| running.progress.end_soon());
            }
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                tracing::warn!(left = tasks.len(), "stopping: what is left is broken off and taken up at the next start");
                break;
            }
        }
    }
    vitals.end(LOOP);
    tasks.is_empty()
}

impl Running {
    /// What another replica is to look after comes to an end soon, as if this one were stopping.
    fn give_way(&mut self, leave: Duration, queue: &Queue) {
        if queue.holds(&self.key) {
            self.unheld = None;
        } else if self.unheld.get_or_insert_with(Instant::now).elapsed() >= leave {
            self.progress.end_soon();
        }
    }

    fn look_after(&mut self, bound: Duration, vitals: &Vitals) {
        let (step, silence) = self.progress.silence();
        match self.aborted {
            None if silence > bound => {
                self.abort.abort();
                self.aborted = Some((Instant::now(), step, silence));
            }
            // It never comes to a point where it could be ended: it holds a thread, and only a restart helps.
            Some((since, ..)) if since.elapsed() > bound => vitals.lost(LOOP),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sealift_apply::progress;
    use tokio::time::sleep;

    use super::*;
    use crate::{queue::Reason, shards::ShardSet};

    const SECOND: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds =
        Bounds { stall: Duration::from_secs(300), leave: Duration::from_secs(11), grace: Duration::from_secs(20) };

    /// Does what the Delivery's name says, and keeps a record.
    #[derive(Clone, Default)]
    struct Acts(Arc<Mutex<Vec<String>>>);

    impl Acts {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn count(&self, what: &str) -> usize {
            self.0.lock().unwrap().iter().filter(|noted| *noted == what).count()
        }
    }

    impl Work for Acts {
        fn look(&self, Taken { key, .. }: Taken) -> impl Future<Output = Option<Duration>> + Send + 'static {
            let acts = self.clone();
            async move {
                acts.note(format!("begin {}", key.name));
                match key.name.as_str() {
                    "quick" => {}
                    "slow" => sleep(10 * SECOND).await,
                    "stage" => {
                        while !progress::is_ending() {
                            sleep(4 * SECOND).await;
                        }
                    }
                    "endless" => sleep(3600 * SECOND).await,
                    "hangs" => {
                        progress::step("fetch");
                        std::future::pending().await
                    }
                    "long" => {
                        for _ in 0..100 {
                            sleep(60 * SECOND).await;
                            progress::made();
                        }
                    }
                    _ => panic!("a bug"),
                }
                acts.note(format!("end {}", key.name));
                None
            }
        }

        fn broke(&self, key: &Key, ended: &Ended) -> Duration {
            let what = match ended {
                Ended::Stalled { step, .. } => format!("stalled at {step}"),
                Ended::Panicked => "panicked".to_owned(),
                Ended::Wants(_) => "wants".to_owned(),
            };
            self.note(format!("{} {what}", key.name));
            3600 * SECOND
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_replica_is_to_look_after_is_asked_to_end() {
        let (acts, queue, start) = (Acts::default(), Queue::new(8), Instant::now());
        queue.wake(&Key::new("stage", "stage"), Reason::Changed);
        let other = queue.clone();
        tokio::spawn(async move {
            sleep(2 * SECOND).await;
            other.hold(&ShardSet::default());
        });
        work(acts.clone(), queue.clone(), BOUNDS, Vitals::default(), async {
            while acts.count("end stage") == 0 {
                sleep(SECOND).await;
            }
        })
        .await;
        let took = start.elapsed().as_secs();
        assert!((13..=26).contains(&took), "it was asked to end {took} s after the start");
        assert_eq!(queue.depth(), crate::queue::Depth::default());
    }

    async fn run(names: &[&str], stop_after: Duration) -> (Acts, Duration, Queue) {
        let (acts, queue, start) = (Acts::default(), Queue::new(8), Instant::now());
        for name in names {
            queue.wake(&Key::new(*name, *name), Reason::Changed);
        }
        work(acts.clone(), queue.clone(), BOUNDS, Vitals::default(), sleep(stop_after)).await;
        (acts, start.elapsed(), queue)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_without_progress_is_ended_and_one_with_progress_is_not() {
        let (acts, _, _) = run(&["hangs", "long", "bug", "quick"], 7000 * SECOND).await;
        assert_eq!((acts.count("begin hangs"), acts.count("hangs stalled at fetch")), (2, 2), "{:?}", acts.0);
        assert_eq!((acts.count("end long"), acts.count("end quick")), (1, 1));
        assert_eq!(acts.count("bug panicked"), 2, "it is tried again after its pause");
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_ends_within_the_grace_and_nothing_new_begins() {
        let (acts, took, queue) = run(&["slow"], SECOND).await;
        assert_eq!((acts.count("end slow"), took.as_secs()), (1, 10));
        queue.wake(&Key::new("n", "quick"), Reason::Changed);
        assert_eq!(queue.next().await, None);
        let (acts, took, _) = run(&["stage"], SECOND).await;
        assert_eq!((acts.count("end stage"), took.as_secs()), (1, 12), "it was asked to end at 1 + 11");
        let (acts, took, _) = run(&["endless", "slow"], SECOND).await;
        assert_eq!((acts.count("end endless"), acts.count("end slow"), took.as_secs()), (0, 1, 21));
    }
}
