//! Changes to bytes and to JSON.

use serde_json::Value;

use crate::random::Random;

/// Numbers at which code tends to break.
const EDGES: &[&str] = &[
    "0",
    "-1",
    "1",
    "2",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "-0",
    "0x10",
    "0777",
    "1_000",
    ".5",
    "-9223372036854775809",
];

/// Between one and eight changes to `bytes`, with pieces of `tokens` and `donor`.
pub(crate) fn bytes(bytes: &mut Vec<u8>, tokens: &[&str], donor: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(8) {
        change(bytes, tokens, donor, random);
        if random.once_in(2) {
            break;
        }
    }
}

fn change(bytes: &mut Vec<u8>, tokens: &[&str], donor: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let range = random.range(bytes.len());
    match random.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *random.pick(&[0, 1, 9, 10, 13, 32, 34, 39, 47, 92, 127, 128, 192, 237, 254, 255]);
            }
        }
        2 => drop(bytes.drain(range)),
        3 => {
            let piece = bytes[range].to_vec();
            insert(bytes, at, &piece);
        }
        4 => {
            let piece = bytes[range.clone()].to_vec();
            bytes.drain(range);
            let at = at.min(bytes.len());
            insert(bytes, at, &piece);
        }
        5 if !tokens.is_empty() => insert(bytes, at, random.pick(tokens).as_bytes()),
        6 if !tokens.is_empty() => {
            bytes.splice(range, random.pick(tokens).bytes());
        }
        7 => {
            let piece = donor[random.range(donor.len())].to_vec();
            insert(bytes, at, &piece);
        }
        8 => {
            let piece = donor[random.range(donor.len())].to_vec();
            bytes.splice(range, piece);
        }
        9 => number(bytes, random),
        _ => {
            let fill = (0..random.below(9)).map(|_| random.next() as u8).collect::<Vec<_>>();
            insert(bytes, at, &fill);
        }
    }
    // Repeated doubling would only make every later mutation slow.
    bytes.truncate(1 << 20);
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Replaces a run of digits by a number at an edge.
fn number(bytes: &mut Vec<u8>, random: &mut Random) {
    let digits: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let at = *random.pick(&digits);
    let start = (0..at).rev().take_while(|i| bytes[*i].is_ascii_digit()).last().unwrap_or(at);
    let end = (at..bytes.len()).take_while(|i| bytes[*i].is_ascii_digit()).last().unwrap_or(at) + 1;
    bytes.splice(start..end, random.pick(EDGES).bytes());
}

/// Between one and four changes to the tree, with parts of `donor`.
pub(crate) fn json(value: &mut Value, donor: &Value, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let place = random.pick(&pointers(value)).clone();
        let other = random.pick(&pointers(donor)).clone();
        let piece = donor.pointer(&other).cloned().unwrap_or(Value::Null);
        node(value, &place, piece, random);
    }
}

fn node(value: &mut Value, place: &str, piece: Value, random: &mut Random) {
    // What stands at the same place elsewhere is what fits best.
    let Some(node) = value.pointer_mut(place) else { return };
    match (random.below(9), &mut *node) {
        (0, _) => *node = piece,
        (1, _) => *node = Value::Null,
        (2, _) => {
            let edge = random.pick(EDGES);
            *node = serde_json::from_str(edge).unwrap_or_else(|_| Value::from(*edge));
        }
        (3, Value::Array(items)) => items.push(piece),
        (4, Value::Array(items)) => {
            let copy = items.first().cloned();
            items.extend(copy);
        }
        (5, Value::Array(items)) if !items.is_empty() => {
            items.remove(random.below(items.len()));
        }
        (6, Value::Object(entries)) if !entries.is_empty() => {
            let key = entries.keys().nth(random.below(entries.len())).cloned().unwrap_or_default();
            let taken = entries.remove(&key);
            if random.once_in(2) {
                entries.insert(format!("{key}x"), taken.unwrap_or_default());
            }
        }
        (7, Value::Object(entries)) => drop(entries.insert("critical".to_owned(), piece)),
        (_, Value::String(text)) => {
            let mut changed = std::mem::take(text).into_bytes();
            bytes(&mut changed, &["..", "/", "*", "sha256:", "%", "\u{0}"], b"registry.example", random);
            *text = String::from_utf8_lossy(&changed).into_owned();
        }
        (_, Value::Number(_)) => *node = Value::from(random.next() >> random.below(64)),
        _ => *node = piece,
    }
}

/// Every place in a tree.
fn pointers(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| walk(item, &format!("{at}/{i}"), found));
            }
            Value::Object(entries) => entries.iter().for_each(|(key, item)| {
                walk(item, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}
