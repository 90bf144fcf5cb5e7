//! Bytes on their way: a bar where a person watches, a line now and then where a log is kept, nothing elsewhere.
//!
//! Transfers happen deep inside what knows no output, so what is shown is settled once, when the command line has been
//! read.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sealift_registry::{client::ClientError, store::Store};
use sealift_verify::{artifact::Descriptor, reference::Repository};

use super::Report;
use crate::table::size;

/// How often a bar is drawn anew, and a line written.
const FRAME: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(10);
/// Cells of a bar.
const WIDTH: u64 = 24;

/// What becomes of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Showing {
    /// A line that rewrites itself.
    Bar,
    /// A line every ten seconds.
    Lines,
    Nothing,
}

static SHOWING: OnceLock<Showing> = OnceLock::new();

impl Showing {
    /// Only text for people has progress beside it, and only a terminal has lines that rewrite themselves.
    pub(super) fn of(report: Report, is_quiet: bool, is_terminal: bool, in_ci: bool) -> Self {
        match (report, is_quiet, in_ci, is_terminal) {
            (Report::Text, false, true, _) => Self::Lines,
            (Report::Text, false, false, true) => Self::Bar,
            _ => Self::Nothing,
        }
    }

    /// From now on.
    pub(super) fn settle(self) {
        // A process has one command line.
        let _ = SHOWING.set(self);
    }
}

/// One transfer, gone from the screen when it is dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    what: &'static str,
    total: u64,
    showing: Showing,
    begun: Instant,
    /// When it was told of last.
    told: Mutex<Option<Instant>>,
}

impl Transfer {
    /// Begins one of so many bytes.
    pub(crate) fn begin(what: &'static str, total: u64) -> Self {
        let showing = SHOWING.get().copied().unwrap_or(Showing::Nothing);
        let begun = Instant::now();
        let told = Mutex::new((showing == Showing::Lines).then_some(begun));
        let transfer = Self { what, total, showing, begun, told };
        transfer.at(0);
        transfer
    }

    /// So many of the bytes have been moved.
    pub(crate) fn at(&self, bytes: u64) {
        let pause = match self.showing {
            Showing::Bar => FRAME,
            Showing::Lines => LINE,
            Showing::Nothing => return,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        *told = Some(Instant::now());
        let mut stderr = io::stderr().lock();
        let elapsed = self.begun.elapsed();
        // Nobody is left to tell when standard error is closed.
        let _ = match self.showing {
            Showing::Bar => write!(stderr, "\r\u{1b}[K{}", bar(self.what, bytes, self.total, elapsed)),
            _ => writeln!(stderr, "{}", line(self.what, bytes, self.total, elapsed)),
        }
        .and_then(|()| stderr.flush());
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.showing == Showing::Bar {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// `uploading [=======>                ] 3.0 MiB of 10.0 MiB, 1.5 MiB/s`
fn bar(what: &str, bytes: u64, total: u64, elapsed: Duration) -> String {
    let done = bytes.min(total).saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH);
    let mut cells = String::new();
    for cell in 0..WIDTH {
        cells.push(if cell < done {
            '='
        } else if cell == done {
            '>'
        } else {
            ' '
        });
    }
    format!("{what} [{cells}] {}", amounts(bytes, total, elapsed))
}

/// `uploading 3.0 MiB of 10.0 MiB, 1.5 MiB/s`
fn line(what: &str, bytes: u64, total: u64, elapsed: Duration) -> String {
    format!("{what} {}", amounts(bytes, total, elapsed))
}

fn amounts(bytes: u64, total: u64, elapsed: Duration) -> String {
    let mut text = format!("{} of {}", size(bytes.min(total)), size(total));
    // The first moment says nothing about the rest.
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if milliseconds >= 500 {
        let _ = write!(text, ", {}/s", size(bytes.saturating_mul(1000) / milliseconds));
    }
    text
}

/// Fetches the content of a layer, within the limit for layers.
pub(crate) async fn layer(store: &Store, repository: &Repository, layer: &Descriptor) -> Result<Bytes, ClientError> {
    let transfer = Transfer::begin("downloading", layer.size);
    store.blob_within(repository, layer, store.limits().compressed, Some(&|bytes| transfer.at(bytes))).await
}

/// Uploads a layer unless it is there.
pub(crate) async fn upload(
    store: &Store,
    repository: &Repository,
    media_type: &str,
    bytes: Bytes,
) -> Result<Descriptor, ClientError> {
    let transfer = Arc::new(Transfer::begin("uploading", bytes.len() as u64));
    let sent = Arc::clone(&transfer);
    store.push_blob_telling(repository, media_type, bytes, Arc::new(move |bytes| sent.at(bytes))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_for_whoever_watches_a_terminal_and_lines_are_for_logs_of_ci() {
        for (report, quiet, terminal, ci, expected) in [
            (Report::Text, false, true, false, Showing::Bar),
            (Report::Text, false, true, true, Showing::Lines),
            (Report::Text, false, false, true, Showing::Lines),
            (Report::Text, false, false, false, Showing::Nothing),
            (Report::Text, true, true, false, Showing::Nothing),
            (Report::Text, true, false, true, Showing::Nothing),
            (Report::Json, false, true, false, Showing::Nothing),
            (Report::Json, false, false, true, Showing::Nothing),
            (Report::Sarif, false, true, true, Showing::Nothing),
        ] {
            assert_eq!(Showing::of(report, quiet, terminal, ci), expected, "{report:?} {quiet} {terminal} {ci}");
        }
    }

    #[test]
    fn a_bar_has_one_length_and_never_passes_its_end() {
        let second = Duration::from_secs(1);
        for (bytes, total, expected) in [
            (0, 10 << 20, "uploading [>                       ] 0 B of 10.0 MiB, 0 B/s"),
            (5 << 20, 10 << 20, "uploading [============>           ] 5.0 MiB of 10.0 MiB, 5.0 MiB/s"),
            (10 << 20, 10 << 20, "uploading [========================] 10.0 MiB of 10.0 MiB, 10.0 MiB/s"),
            (12, 10, "uploading [========================] 10 B of 10 B, 12 B/s"),
            (0, 0, "uploading [========================] 0 B of 0 B, 0 B/s"),
        ] {
            assert_eq!(bar("uploading", bytes, total, second), expected);
        }
        assert_eq!(line("copying", 1 << 20, 4 << 20, Duration::ZERO), "copying 1.0 MiB of 4.0 MiB");
    }
}
