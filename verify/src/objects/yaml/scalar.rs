//! What a scalar means to `go.yaml.in/yaml/v2`, which kubectl reads with (its `resolve.go`).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Number, Value};

use super::{super::canonical, Problem};

/// The meaning of an unquoted, untagged scalar. A timestamp stays text in kubectl, so it has no variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// Looks like a number and is too large for one.
    Overflow,
    Text,
}

/// Reads an unquoted scalar.
pub(crate) fn plain(text: &str) -> Plain {
    match text.as_bytes() {
        [] => Plain::Null,
        [b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~', ..] => word(text),
        [b'.', ..] => match text {
            ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => Plain::Overflow,
            // `._5` and the like: Go has rules of its own for underscores here.
            _ if text.contains('_') && float(&text.replace('_', "")) != Plain::Text => Plain::Overflow,
            _ => float(text),
        },
        [b'+' | b'-' | b'0'..=b'9', ..] => number(text),
        _ => Plain::Text,
    }
}

fn word(text: &str) -> Plain {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Plain::Bool(false),
        "~" | "null" | "Null" | "NULL" => Plain::Null,
        _ => Plain::Text,
    }
}

fn number(text: &str) -> Plain {
    if matches!(text, "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF") {
        return Plain::Overflow;
    }
    let plain = text.replace('_', "");
    match integer(&plain) {
        Plain::Text => {}
        found => return found,
    }
    match float(&plain) {
        Plain::Text => {}
        found => return found,
    }
    // What Go's ParseInt with base 2 takes beyond the forms above: a sign after the prefix.
    match plain.strip_prefix("0b") {
        Some(digits) if digits.starts_with(['+', '-']) => {
            i64::from_str_radix(digits, 2).map_or(Plain::Text, Plain::Int)
        }
        _ => Plain::Text,
    }
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn integer(text: &str) -> Plain {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // Rust takes a sign here, Go does not.
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return Plain::Text;
    }
    match u64::from_str_radix(digits, radix) {
        Ok(value) if negative => 0_i64.checked_sub_unsigned(value).map_or(Plain::Text, Plain::Int),
        Ok(value) => match i64::try_from(value) {
            Ok(value) => Plain::Int(value),
            // ParseUint takes no sign: `+18446744073709551615` goes on to be a float.
            Err(_) if text.starts_with('+') => Plain::Text,
            Err(_) => Plain::Uint(value),
        },
        Err(_) => Plain::Text,
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, then `strconv.ParseFloat`.
fn float(text: &str) -> Plain {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !mantissa_fits || !exponent_fits {
        return Plain::Text;
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Plain::Float(value),
        Ok(_) => Plain::Overflow,
        Err(_) => Plain::Text,
    }
}

/// A number as kubectl hands it on: through JSON text, where `1.0` is `1` and `-0.0` is `0`.
pub(super) fn from_float(value: f64) -> Option<Value> {
    Number::from_f64(value)?;
    let text = canonical::float(value);
    let number = if let Ok(value) = text.parse::<i64>() {
        Number::from(value)
    } else if let Ok(value) = text.parse::<u64>() {
        Number::from(value)
    } else {
        Number::from_f64(value)?
    };
    Some(Value::Number(number))
}

/// The value of an unquoted, untagged scalar.
pub(super) fn value(text: std::borrow::Cow<'_, str>) -> Result<Value, Problem> {
    Ok(match plain(&text) {
        Plain::Null => Value::Null,
        Plain::Bool(value) => Value::Bool(value),
        Plain::Int(value) => Value::from(value),
        Plain::Uint(value) => Value::from(value),
        Plain::Float(value) => from_float(value).ok_or_else(|| Problem::Number(text.into_owned()))?,
        Plain::Overflow => return Err(Problem::Number(text.into_owned())),
        Plain::Text => Value::String(text.into_owned()),
    })
}

/// The value of a scalar under a tag of YAML's own, quoted or not.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Value, Problem> {
    let mismatch = || Problem::TagMismatch { tag: format!("!!{tag}"), text: text.to_owned() };
    match (tag, plain(text)) {
        ("str", _) => Ok(Value::String(text.to_owned())),
        ("binary", _) => {
            let base64: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = STANDARD.decode(base64).map_err(|_| Problem::Binary)?;
            String::from_utf8(bytes).map(Value::String).map_err(|_| Problem::Binary)
        }
        ("int" | "float", Plain::Overflow) => Err(Problem::Number(text.to_owned())),
        ("null", Plain::Null) => Ok(Value::Null),
        ("bool", Plain::Bool(value)) => Ok(Value::Bool(value)),
        ("int", Plain::Int(value)) => Ok(Value::from(value)),
        ("int", Plain::Uint(value)) => Ok(Value::from(value)),
        // Rounds as kubectl does: the tag asks for a double.
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a double, as in kubectl")]
        ("float", Plain::Int(value)) => from_float(value as f64).ok_or_else(mismatch),
        ("float", Plain::Float(value)) => from_float(value).ok_or_else(mismatch),
        ("null" | "bool" | "int" | "float", _) => Err(mismatch()),
        _ => Err(Problem::Tag(format!("!!{tag}"))),
    }
}

/// An unquoted key, if kubectl leaves it as it is written.
pub(super) fn key(text: &str) -> Result<(), Problem> {
    let read = match plain(text) {
        Plain::Text => return Ok(()),
        Plain::Null => return Err(Problem::KeyNotString),
        Plain::Bool(value) => value.to_string(),
        Plain::Int(value) => value.to_string(),
        // These kubectl writes as they are.
        Plain::Overflow if matches!(text, ".inf" | "-.inf" | ".nan") => return Ok(()),
        // kubectl has no name for such a key and fails.
        Plain::Uint(_) | Plain::Overflow => return Err(Problem::Number(text.to_owned())),
        // Go writes float keys with the precision of a float32.
        #[expect(clippy::cast_possible_truncation, reason = "kubectl writes float keys as float32")]
        Plain::Float(value) if (1e-4..1e6).contains(&value.abs()) => (value as f32).to_string(),
        Plain::Float(value) => format!("{value:e}"),
    };
    if read == text { Ok(()) } else { Err(Problem::Key { written: text.to_owned(), read }) }
}
