//! One call at a time for each key: who asks while it is on its way gets its answer. *pure*

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::Instant;

/// Calls that are on their way. A call goes on as long as one of those who wait for it does, whoever began it.
#[derive(Debug)]
pub(super) struct Flights<K, V: Clone>(Mutex<Calls<K, V>>);

/// When each call began, and a part in it that does not keep it going.
type Calls<K, V> = HashMap<K, (Instant, WeakShared<BoxFuture<'static, V>>)>;

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// The answer to `call`, or to an equal one that is on its way and began at `since` or later.
    pub(super) async fn one<F>(&self, key: &K, since: Option<Instant>, call: impl FnOnce() -> F) -> V
    where
        F: Future<Output = V> + Send + 'static,
    {
        let flight = self.join(key, since, call);
        let answer = flight.await;
        let mut flights = self.flights();
        // Of a call that is over nobody holds a part any more, so this is not one that began since.
        if flights.get(key).is_some_and(|(_, flight)| flight.upgrade().is_none()) {
            flights.remove(key);
        }
        answer
    }

    fn join<F>(&self, key: &K, since: Option<Instant>, call: impl FnOnce() -> F) -> Shared<BoxFuture<'static, V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = self.flights();
        if let Some((began, flight)) = flights.get(key)
            && since.is_none_or(|since| *began >= since)
            && let Some(flight) = flight.upgrade()
        {
            return flight;
        }
        // What nobody waits for any more stays until somebody comes by.
        if flights.len() >= 64 && flights.len() == flights.capacity() {
            flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        }
        let flight = call().boxed().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key.clone(), (Instant::now(), weak));
        }
        flight
    }

    fn flights(&self) -> MutexGuard<'_, Calls<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Clone, Default)]
    struct Counted {
        flights: Arc<Flights<&'static str, usize>>,
        made: Arc<AtomicUsize>,
    }

    impl Counted {
        async fn one(&self, since: Option<Instant>) -> usize {
            let made = self.made.clone();
            let call = || async move {
                let call = made.fetch_add(1, Ordering::SeqCst);
                sleep(10 * SECOND).await;
                call
            };
            self.flights.one(&"a", since, call).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn equal_calls_at_a_time_are_one_and_later_ones_are_made_anew() {
        let calls = Counted::default();
        let answers = tokio::join!(calls.one(None), calls.one(None), calls.one(None));
        assert_eq!((answers, calls.made.load(Ordering::SeqCst)), ((0, 0, 0), 1));
        assert_eq!(calls.one(None).await, 1);
        assert!(calls.flights.flights().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_when_who_began_it_goes_away_and_ends_when_all_do() {
        let calls = Counted::default();
        let second = tokio::spawn({
            let calls = calls.clone();
            async move {
                sleep(SECOND).await;
                calls.one(None).await
            }
        });
        assert!(timeout(5 * SECOND, calls.one(None)).await.is_err());
        assert_eq!(second.await.unwrap(), 0);
        assert!(timeout(SECOND, calls.one(None)).await.is_err());
        assert_eq!(calls.one(None).await, 2, "nobody waited for the call before");
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_news_is_not_content_with_a_call_that_began_before() {
        let calls = Counted::default();
        let (old, new) = tokio::join!(calls.one(None), async {
            sleep(SECOND).await;
            calls.one(Some(Instant::now())).await
        });
        assert_eq!((old, new), (0, 1));
    }
}
