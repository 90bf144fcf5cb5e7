//! Canonical JSON: RFC 8785 in the order of keys, the escapes of strings and the form of doubles.
//!
//! Integers are written digit for digit. RFC 8785 reads every number as a double first and so rounds above 2^53,
//! which would let two different objects have one digest. Non-finite doubles have no form; `serde_json::Number`
//! cannot hold them.

use serde_json::{Number, Value};

use crate::digest::Digest;

/// The canonical bytes of `value`.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write(value, &mut out);
    out
}

/// The digest of the canonical bytes of `value`.
pub fn digest(value: &Value) -> Digest {
    Digest::of(&to_vec(value))
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(self::number(number).as_bytes()),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(a, _), (b, _)| compare(a, b));
            out.push(b'{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// By UTF-16 code units (RFC 8785 §3.2.3), which differs from the order of bytes only beyond U+D7FF.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    if a.is_ascii() || b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// The escapes of RFC 8785 §3.2.2.2 are those of `serde_json`: the short ones, else lower-case `\u00xx` below U+0020.
fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing a string to memory does not fail");
}

/// A number's canonical text.
pub(crate) fn number(number: &Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(value), _, _) => value.to_string(),
        (_, Some(value), _) => value.to_string(),
        (_, _, Some(value)) => float(value),
        (None, None, None) => number.to_string(),
    }
}

/// `Number::toString` of ECMAScript, which for finite doubles is also what Go's `encoding/json` writes.
pub(crate) fn float(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // The shortest digits that read back, and of two such the nearer or even one, as ECMAScript asks. Rust's own `{:e}`
    // takes the larger of two equally near ones, so the digits are taken from serde_json's text, in whichever form.
    let text = serde_json::Number::from_f64(value.abs()).map(|number| number.to_string()).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let written = format!("{whole}{fraction}");
    let significant = written.trim_start_matches('0');
    let exponent = exponent.parse::<i32>().unwrap_or_default() + len(whole) - len(&written) + len(significant) - 1;
    let digits = significant.trim_end_matches('0');
    let sign = if value < 0.0 { "-" } else { "" };
    // `point` digits stand before the decimal point.
    let (count, point) = (len(digits), exponent + 1);
    match point {
        _ if (count..=21).contains(&point) => format!("{sign}{digits:0<width$}", width = point.unsigned_abs() as usize),
        1..=21 => {
            let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
            format!("{sign}{whole}.{fraction}")
        }
        -5..=0 => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}e{exponent:+}")
        }
    }
}

fn len(digits: &str) -> i32 {
    i32::try_from(digits.len()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 8785 appendix B.
    #[test]
    fn writes_doubles_as_the_rfc_shows() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(float(f64::from_bits(bits)), text);
        }
    }

    /// RFC 8785 §3.2.3.
    #[test]
    fn sorts_keys_by_utf_16_code_units() {
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
            \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
            \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(String::from_utf8(to_vec(&value)).unwrap(), expected);
    }

    /// RFC 8785 §3.2.2, with the integers of the example.
    #[test]
    fn writes_literals_and_strings_as_the_rfc_shows() {
        let value: Value = serde_json::from_str(
            r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        )
        .unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(to_vec(&value)).unwrap(), expected);
    }

    #[test]
    fn writes_integers_digit_for_digit() {
        let value = json!([u64::MAX, i64::MIN, 9_007_199_254_740_993_i64]);
        assert_eq!(to_vec(&value), b"[18446744073709551615,-9223372036854775808,9007199254740993]");
    }

    /// Values whose doubles are no integers: those read back as what they were.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_back_as_the_same_value(value in any_value()) {
            let bytes = to_vec(&value);
            let read: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(to_vec(&read), bytes);
        }

        #[test]
        fn a_double_keeps_its_text_when_it_is_read_and_written_again(value in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let text = float(value);
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(to_vec(&read), text.clone().into_bytes());
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}
