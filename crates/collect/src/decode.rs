//! Content-Encoding: gzip and zstd bodies made plain, with a cap on what comes out.

use std::io::{ErrorKind, Read};

use api::ApiError;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use event::limits::{BODY_BYTES_MAX, BODY_RATIO_FREE, BODY_RATIO_MAX};

use crate::body::Held;

/// 8 MiB, what RFC 9659 lets a sender of zstd over HTTP ask of its receiver.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// The one that the headers name.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let name = values.next().map_or(&b"identity"[..], |value| value.as_bytes().trim_ascii());
        let known: [(&[u8], Self); 4] =
            [(b"identity", Self::Identity), (b"gzip", Self::Gzip), (b"x-gzip", Self::Gzip), (b"zstd", Self::Zstd)];
        let found = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found, values.next()) {
            (Some((_, encoding)), None) => Ok(encoding),
            _ => {
                let message = "content-encoding is not supported; send one of identity, gzip, zstd";
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message))
            }
        }
    }
}

/// Makes a body plain. Memory follows what really came out, never a size that the body declares.
pub(crate) fn decode(encoding: Encoding, body: Bytes, held: &mut Held<'_>) -> Result<Bytes, ApiError> {
    if encoding == Encoding::Identity {
        return Ok(body);
    }
    let cap = body.len().saturating_mul(BODY_RATIO_MAX).clamp(BODY_RATIO_FREE, BODY_BYTES_MAX);
    held.grow(cap)?;
    let plain = inflate(encoding, &body, cap)?;
    held.shrink(cap - plain.len());
    Ok(plain.into())
}

/// At most `cap` bytes.
fn inflate(encoding: Encoding, body: &[u8], cap: usize) -> Result<Vec<u8>, ApiError> {
    let decoded = match encoding {
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read(decoder, cap)
        }),
        // Several members one behind the other are one body (RFC 1952).
        Encoding::Gzip | Encoding::Identity => read(flate2::bufread::MultiGzDecoder::new(body), cap),
    };
    let plain = decoded.map_err(|error| {
        let name = if encoding == Encoding::Gzip { "gzip" } else { "zstd" };
        let why = match error.kind() {
            ErrorKind::UnexpectedEof => "it ends too soon".to_owned(),
            _ => error.to_string(),
        };
        ApiError::bad_request("invalid_encoding", format!("the body cannot be read as {name}: {why}"))
    })?;
    if plain.len() <= cap {
        return Ok(plain);
    }
    Err(ApiError::too_large(match cap == BODY_BYTES_MAX {
        true => format!("the body has more than {BODY_BYTES_MAX} bytes after decompression"),
        false => format!("the body grows more than {BODY_RATIO_MAX}-fold by decompression, which no honest JSON does"),
    }))
}

/// Reads to the end, or to one byte past the cap.
fn read(decoder: impl Read, cap: usize) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    decoder.take(cap as u64 + 1).read_to_end(&mut plain)?;
    Ok(plain)
}
