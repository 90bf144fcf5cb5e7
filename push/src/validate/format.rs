//! Formats of texts. What is not known here is left to the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, civil::Date};

/// `Err` with what the text should be.
pub(super) fn text(format: &str, text: &str) -> Result<(), &'static str> {
    let (fits, expected) = match format {
        "quantity" => (is_quantity(text), "a quantity, such as 500m or 1Gi"),
        "date-time" => (text.parse::<Timestamp>().is_ok(), "a time by RFC 3339"),
        "date" => (text.parse::<Date>().is_ok(), "a date"),
        // Line breaks are passed over by Go's decoder.
        "byte" => (STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok(), "base64"),
        "ipv4" => (text.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
        "ipv6" => (text.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
        "ip" => (text.parse::<IpAddr>().is_ok(), "an IP address"),
        "cidr" => (is_cidr(text), "a network, such as 10.0.0.0/8"),
        "uuid" => (is_uuid(text), "a UUID"),
        _ => return Ok(()),
    };
    if fits { Ok(()) } else { Err(expected) }
}

/// `<sign><digits>.<digits><suffix>`, as k8s.io/apimachinery reads it.
fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let digits = number.bytes().any(|b| b.is_ascii_digit()) && number.matches('.').count() <= 1;
    let exponent = || {
        let rest = suffix.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    digits && (known.contains(&suffix) || exponent())
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u8>() else { return false };
    address.parse::<IpAddr>().is_ok_and(|address| length <= if address.is_ipv4() { 32 } else { 128 })
}

/// With or without its dashes.
fn is_uuid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_their_format_or_not_and_unknown_formats_say_nothing() {
        for (format, good, bad) in [
            (
                "quantity",
                &["1", "500m", "1.5Gi", "-1", "+.5", "1e3", "1E-3", "2E"][..],
                &["", "1 Gi", "1GB", "x", ".", "1.2.3", "1e", "."][..],
            ),
            (
                "date-time",
                &["2026-11-01T00:00:00Z", "2026-11-01T00:00:00+02:00"],
                &["yesterday", "2026-13-01T00:00:00Z"],
            ),
            ("date", &["2026-11-01"], &["2026-11-31"]),
            ("byte", &["", "YQ==", "YWJj\n"], &["a", "not base64!"]),
            ("ipv4", &["10.0.0.1"], &["10.0.0.256", "::1"]),
            ("ipv6", &["::1"], &["10.0.0.1"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33"]),
            ("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567"]),
            ("hostname", &["anything at all"], &[]),
        ] {
            good.iter().for_each(|value| assert_eq!(text(format, value), Ok(()), "{format} {value:?}"));
            bad.iter().for_each(|value| assert!(text(format, value).is_err(), "{format} {value:?}"));
        }
    }
}
