//! The `Range` header of a blob request.

/// What part of a blob is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything, with status 200.
    Whole,
    /// `length` bytes from `start`, with status 206.
    Bytes { start: u64, length: u64 },
    /// No byte of the blob lies in the range: status 416.
    Unsatisfiable,
}

/// The part of a blob of `size` bytes that `header` asks for.
///
/// One range is served; several ranges in one request, other units and nonsense are answered with the whole blob, as
/// RFC 9110 section 14.2 allows. A range that ends before it starts is 416 here, because the conformance suite says so.
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Part::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>(), last.trim().is_empty()) {
        (Ok(start), _, true) => bounded(start, size.saturating_sub(1), size),
        (Ok(start), Ok(end), _) => bounded(start, end.min(size.saturating_sub(1)), size),
        (Err(_), Ok(0), _) if first.trim().is_empty() => Part::Unsatisfiable,
        (Err(_), Ok(suffix), _) if first.trim().is_empty() => {
            bounded(size.saturating_sub(suffix), size.saturating_sub(1), size)
        }
        _ => Part::Whole,
    }
}

fn bounded(start: u64, end: u64, size: u64) -> Part {
    if start >= size || end < start { Part::Unsatisfiable } else { Part::Bytes { start, length: end - start + 1 } }
}

/// First and last position of an upload chunk's `Content-Range`, which here has neither unit nor total.
pub(super) fn chunk(header: &str) -> Option<(u64, u64)> {
    let (start, end) = header.split_once('-')?;
    let (start, end) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_one_range() {
        let cases = [
            (None, Part::Whole),
            (Some("bytes=0-0"), Part::Bytes { start: 0, length: 1 }),
            (Some("bytes=2-5"), Part::Bytes { start: 2, length: 4 }),
            (Some("bytes=2-"), Part::Bytes { start: 2, length: 8 }),
            (Some("bytes=-3"), Part::Bytes { start: 7, length: 3 }),
            (Some("bytes=-30"), Part::Bytes { start: 0, length: 10 }),
            (Some("bytes=8-99"), Part::Bytes { start: 8, length: 2 }),
            (Some("bytes=5-0"), Part::Unsatisfiable),
            (Some("bytes=10-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("lines=1-2"), Part::Whole),
            (Some("bytes=a-b"), Part::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(part(header, 10), expected, "{header:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
    }

    #[test]
    fn reads_a_chunk_without_unit() {
        assert_eq!(chunk("0-9"), Some((0, 9)));
        for text in ["", "9-0", "bytes 0-9", "0-9/10", "-1"] {
            assert_eq!(chunk(text), None, "{text}");
        }
    }
}
