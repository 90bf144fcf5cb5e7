//! How often somebody who is known is listened to. *pure*

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// So many things may be said at once, and then one more each so often.
const AT_ONCE: u32 = 500;
const EACH: Duration = Duration::from_millis(10);
/// Receivers whose rates are kept; those that were silent for long go first.
const MOST: usize = 4096;

/// How much each may still say: the time at which all he has said is paid for.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<String, Instant>);

impl Rates {
    /// True if there is room for one more.
    pub(super) fn takes(&mut self, id: &str, now: Instant) -> bool {
        if self.0.len() >= MOST {
            self.0.retain(|_, paid| *paid > now);
        }
        let paid = self.0.get(id).map_or(now, |paid| (*paid).max(now));
        let fits = paid.duration_since(now) <= EACH * (AT_ONCE - 1);
        if fits {
            self.0.insert(id.to_owned(), paid + EACH);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_may_be_said_at_once_and_little_for_long() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let said =
            |rates: &mut Rates, id: &str, at: Duration| (0..1000).filter(|_| rates.takes(id, start + at)).count();
        assert_eq!(said(&mut rates, "a", Duration::ZERO), 500);
        assert_eq!(said(&mut rates, "b", Duration::ZERO), 500, "each for himself");
        assert_eq!(said(&mut rates, "a", Duration::from_secs(1)), 100);
        assert_eq!(said(&mut rates, "a", Duration::from_secs(60)), 500);
    }
}
