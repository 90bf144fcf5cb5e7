//! Conditions after the Kubernetes API conventions: a transition time moves only when the status does.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The API server refuses a longer message.
const MESSAGE_LIMIT: usize = 32_768;

/// The condition of this type, if there is one.
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// True if the condition of this type is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Sets a condition in place, and says whether anything but the time was changed.
///
/// `status` is `True`, `False` or `Unknown`; `reason` a CamelCase word.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: jiff::Timestamp,
) -> bool {
    let cut = (0..=message.len().min(MESSAGE_LIMIT)).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    let mut new = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message[..cut].to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        None => {
            conditions.push(new);
            true
        }
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            let changed = *old != new;
            *old = new;
            changed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_the_transition_time_only_with_the_status() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let mut conditions = vec![];
        assert!(set_condition(&mut conditions, "Ready", "False", "Unsigned", "no signature", Some(1), at(10)));
        assert!(!set_condition(&mut conditions, "Ready", "False", "Unsigned", "no signature", Some(1), at(20)));
        assert!(set_condition(&mut conditions, "Ready", "False", "Denied", "denied", Some(1), at(30)));
        assert_eq!(condition(&conditions, "Ready").unwrap().last_transition_time.0, at(10));
        assert!(set_condition(&mut conditions, "Ready", "True", "Applied", "", Some(2), at(40)));
        assert_eq!(condition(&conditions, "Ready").unwrap().last_transition_time.0, at(40));
        assert!(is_true(&conditions, "Ready") && !is_true(&conditions, "Stalled"));
    }

    #[test]
    fn cuts_a_message_the_api_server_would_refuse() {
        let mut conditions = vec![];
        let long = "é".repeat(MESSAGE_LIMIT);
        set_condition(&mut conditions, "Ready", "False", "Failed", &long, None, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(conditions[0].message.len(), MESSAGE_LIMIT);
    }
}
