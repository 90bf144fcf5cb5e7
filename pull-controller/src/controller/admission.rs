//! The first half of the verdict, on threads of its own and within a time: expressions are bounded and not short. *pure,
//! but for the clock that runs beside it*

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sealift_verify::{
    artifact::Limits,
    hold::Hold,
    memory::Memory,
    verify::{Admitted, Decision, Facts, admit},
};
use tokio::sync::Semaphore;

use super::{fetch::Fetched, policies::Policies, stop::Stop};

/// Verdicts that are reached at once. One that takes too long keeps its place until it has ended, so that what cannot be
/// interrupted does not fill the threads that everybody shares.
const AT_ONCE: usize = 8;
/// Longest wait for a verdict, for its place included. The dearest expressions that policies may hold take seconds.
const DEADLINE: Duration = Duration::from_secs(60);

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// What a verdict depends on besides artifact, policies and trust roots, so that a thread may keep it.
#[derive(Debug)]
struct Question {
    now: Timestamp,
    namespace: Option<String>,
    memory: Option<Memory>,
    hold: Option<Hold>,
    stream: Option<String>,
    environment: Option<String>,
    version: Option<String>,
    variant: Option<String>,
    require: Vec<String>,
    limits: Limits,
}

impl Question {
    /// Trust roots are those of the policies.
    fn of(facts: &Facts<'_>) -> Self {
        let Facts { now, namespace, memory, hold, stream, environment, version, variant, require, trust: _, limits } =
            *facts;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            now,
            namespace: owned(namespace),
            memory: memory.cloned(),
            hold: hold.cloned(),
            stream: owned(stream),
            environment: owned(environment),
            version: owned(version),
            variant: owned(variant),
            require: require.to_vec(),
            limits,
        }
    }

    fn facts<'a>(&'a self, policies: &'a Policies) -> Facts<'a> {
        let Self { now, namespace, memory, hold, stream, environment, version, variant, require, limits } = self;
        Facts {
            now: *now,
            namespace: namespace.as_deref(),
            memory: memory.as_ref(),
            hold: hold.as_ref(),
            stream: stream.as_deref(),
            environment: environment.as_deref(),
            version: version.as_deref(),
            variant: variant.as_deref(),
            require,
            trust: policies.roots(),
            limits: *limits,
        }
    }
}

/// Judges manifest, signatures, statement and attestations.
///
/// # Errors
/// [`Stop::Late`] where there is no verdict in time: neither yes nor no, and asked again later.
pub(super) async fn decide(
    policies: &Arc<Policies>,
    facts: &Facts<'_>,
    fetched: &Arc<Fetched>,
) -> Result<Decision<Admitted>, Stop> {
    let (question, policies, fetched) = (Question::of(facts), Arc::clone(policies), Arc::clone(fetched));
    let judge = move || admit(&fetched.unverified, policies.usable(), &question.facts(&policies));
    within(DEADLINE, &PLACES, judge).await
}

/// Runs `work` on a thread that may block, if there is a place, and waits no longer than this for both.
async fn within<T: Send + 'static>(
    deadline: Duration,
    places: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stop> {
    let whole = async {
        let place = places.acquire().await.map_err(|_| Stop::Late(deadline))?;
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Stop::Internal)
    };
    tokio::time::timeout(deadline, whole).await.unwrap_or(Err(Stop::Late(deadline)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_no_answer_and_keeps_its_place_until_it_ends() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (release, wait) = channel::<()>();
        let short = Duration::from_millis(50);
        let stuck = within(short, &ONE, move || wait.recv()).await;
        assert!(matches!(stuck, Err(Stop::Late(_))));
        assert!(matches!(within(short, &ONE, || 1).await, Err(Stop::Late(_))), "its place is taken");
        release.send(()).unwrap();
        assert_eq!(within(Duration::from_secs(60), &ONE, || 2).await.unwrap(), 2, "and free again once it has ended");
    }
}
