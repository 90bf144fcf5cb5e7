//! zstd for Sealift's own layers, gzip for those of others; both bounded on the way in.

use std::io::{self, Read, Write as _};

use flate2::{Compression, GzBuilder, bufread::GzDecoder};

use super::LayerError;
use crate::artifact::{Format, Limits};

/// Best ratio for manifests before the time doubles.
const ZSTD_LEVEL: i32 = 9;
/// 128 MiB, what `zstd --long=27` writes and most readers allow.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// "Unknown" in RFC 1952: the real one would make the bytes depend on the machine.
const GZIP_OS_UNKNOWN: u8 = 255;
/// Thousands of objects that differ in a name alone compress well beyond the ratio without being a bomb, and memory is
/// bounded by [`Limits::expanded`] in any case.
const RATIO_FROM: u64 = 32 << 20;

/// Compresses a tar; the same bytes for the same version of the compressor.
pub(super) fn compress(tar: &[u8], format: Format) -> io::Result<Vec<u8>> {
    match format {
        Format::Sealift => zstd::bulk::compress(tar, ZSTD_LEVEL),
        Format::Flux | Format::Oci => {
            let builder = GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN);
            let mut encoder = builder.write(Vec::new(), Compression::best());
            encoder.write_all(tar)?;
            encoder.finish()
        }
    }
}

/// Expands one zstd frame or one gzip member; anything after it, another frame or member included, is refused, since
/// readers disagree on whether it counts.
pub(super) fn expand(bytes: &[u8], format: Format, limits: &Limits) -> Result<Vec<u8>, LayerError> {
    let compressed = bytes.len() as u64;
    if compressed > limits.compressed {
        return Err(LayerError::Compressed { size: compressed, limit: limits.compressed });
    }
    let (tar, rest) = match format {
        Format::Sealift => {
            let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(LayerError::Expand)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(LayerError::Expand)?;
            let tar = read_bounded(&mut decoder, compressed, limits)?;
            (tar, decoder.finish().len())
        }
        Format::Flux | Format::Oci => {
            let mut decoder = GzDecoder::new(bytes);
            let tar = read_bounded(&mut decoder, compressed, limits)?;
            (tar, decoder.into_inner().len())
        }
    };
    if rest > 0 {
        return Err(LayerError::AfterStream { bytes: rest });
    }
    Ok(tar)
}

fn read_bounded(decoder: &mut impl Read, compressed: u64, limits: &Limits) -> Result<Vec<u8>, LayerError> {
    let mut expanded = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = decoder.read(&mut buffer).map_err(LayerError::Expand)?;
        if read == 0 {
            return Ok(expanded);
        }
        expanded.extend_from_slice(&buffer[..read]);
        let size = expanded.len() as u64;
        if size > limits.expanded {
            return Err(LayerError::Expanded { limit: limits.expanded });
        }
        if size > RATIO_FROM && size / compressed.max(1) > limits.ratio {
            return Err(LayerError::Ratio { limit: limits.ratio });
        }
    }
}
