//! What tags point at, asked once for all Deliveries that name them. *registry*
//!
//! A Delivery that resolves follows what it asked from then on: the question is asked again once an interval (the shortest
//! of those who follow it), and only those for whom the answer is another are woken. What is asked when is decided in
//! [`table`] and [`gate`], which only see data.

mod gate;
mod table;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sealift_registry::{
    client::ClientError,
    store::{Place, Store},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};

use self::table::Table;
pub(super) use self::table::{Answer, Found, Hint, Interest, Question, What};
use super::{flight::Flights, registries::Who, source::count_request, tell::random};
use crate::{
    metrics::{Metrics, Resolve},
    queue::{Key, Queue, Reason},
    vitals::{BEAT, Vitals},
};

/// The name of this loop among the [`Vitals`].
pub(crate) const LOOP: &str = "tags";
/// Questions asked in the background at the same time.
const AT_ONCE: usize = 16;

/// Who follows which tag, and what is known about it.
pub(crate) struct Tags {
    table: Mutex<Table<Arc<Store>>>,
    flights: Flights<Question, Answer>,
    moved: Notify,
    queue: Queue,
    metrics: Metrics,
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tags")
    }
}

impl Tags {
    /// Nobody follows anything yet.
    pub(super) fn new(queue: Queue, metrics: Metrics) -> Self {
        Self { table: Mutex::default(), flights: Flights::default(), moved: Notify::new(), queue, metrics }
    }

    /// The answer to a question: what is known if that is young enough, else what the registry says. With `urgent` only
    /// what it says from now on.
    pub(super) async fn ask(
        self: &Arc<Self>,
        question: &Question,
        client: Arc<Store>,
        interval: Duration,
        urgent: bool,
    ) -> Answer {
        let now = Instant::now();
        if let Some(known) = self.table().known(question, interval, now, urgent) {
            self.metrics.resolved(Resolve::Shared);
            return known;
        }
        self.call(question, client, Some(interval), urgent.then_some(now), Resolve::Asked).await
    }

    /// From now on the Delivery follows these questions, and no others.
    pub(super) fn follow(&self, key: &Key, questions: Vec<(Question, Interest)>) {
        self.table().follow(key, questions, Instant::now());
        self.moved.notify_one();
    }

    /// Why a repository is not to be asked for anything now, if so.
    pub(super) fn silent(&self, place: &Place, who: &Who, urgent: bool) -> Option<Arc<ClientError>> {
        self.table().gate().closed(&(place.clone(), who.clone()), Instant::now(), urgent)
    }

    /// Takes note of how a repository answered elsewhere.
    pub(super) fn heard(&self, place: &Place, who: &Who, error: Option<&Arc<ClientError>>) {
        self.table().gate().answered(&(place.clone(), who.clone()), error, Instant::now(), random());
    }

    /// Somebody says that there is something new; answers how many questions are asked for that.
    pub(super) fn hinted(&self, hint: &Hint<'_>) -> usize {
        let meant = self.table().hinted(hint, Instant::now());
        self.moved.notify_one();
        meant
    }

    /// Asks what is due, for ever.
    pub(crate) async fn run(self: Arc<Self>, vitals: Vitals) {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            vitals.beat(LOOP);
            let now = Instant::now();
            let (due, next) = {
                let mut table = self.table();
                table.sweep(now);
                (table.take_due(now), table.next_due())
            };
            for (question, client, since) in due {
                let (this, slots) = (Arc::clone(&self), Arc::clone(&slots));
                // Each ends by the client's own limits, and what is due is given out once.
                tokio::spawn(async move {
                    let _slot = slots.acquire().await.ok();
                    this.call(&question, client, None, since, Resolve::Followed).await
                });
            }
            let next = next.unwrap_or(now + BEAT).min(now + BEAT);
            tokio::select! {
                () = self.moved.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// How many questions are followed.
    pub(super) fn followed(&self) -> usize {
        self.table().len()
    }

    async fn call(
        self: &Arc<Self>,
        question: &Question,
        client: Arc<Store>,
        interval: Option<Duration>,
        since: Option<Instant>,
        why: Resolve,
    ) -> Answer {
        let call = || {
            let (this, question) = (Arc::clone(self), question.clone());
            async move {
                this.metrics.resolved(why);
                let answer = this.request(&question, &client).await;
                let (woken, answer) = {
                    let mut table = this.table();
                    let woken = table.answered(&question, client, &answer, interval, Instant::now(), random());
                    (woken, table.told(&question, answer))
                };
                woken.iter().for_each(|key| this.queue.wake(key, Reason::Resolved));
                this.moved.notify_one();
                answer
            }
        };
        self.flights.one(question, since, call).await
    }

    async fn request(&self, question: &Question, client: &Store) -> Answer {
        let Question { place, what, who: _ } = question;
        let answer = match what {
            What::Tag(tag) => client.resolve(&place.repository, tag).await.map(Found::Digest),
            What::Tags => client.tags(&place.repository).await.map(|tags| Found::Tags(tags.into())),
        };
        count_request(&self.metrics, &answer);
        answer.map_err(Arc::new)
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<Store>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
