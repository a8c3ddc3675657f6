//! Request bodies from the wire, none larger than the limit, all together within a budget.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use api::ApiError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use event::limits::{BODIES_BYTES_MAX, BODY_BYTES_MAX};
use http_body_util::BodyExt;

/// What is reserved for a body before it comes; more is reserved as it comes.
const RESERVE_BYTES_MAX: usize = 64 << 10;

/// The bytes that the bodies of all doors may hold at once.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    held: AtomicUsize,
}

/// One request's part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { budget: self, bytes: 0 }
    }

    /// Counts bytes in, also when it says that they are too many; [`Budget::give`] is due in any case.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), ApiError> {
        if self.held.fetch_add(bytes, Relaxed) + bytes <= BODIES_BYTES_MAX {
            return Ok(());
        }
        Err(ApiError::too_many("the bodies of other requests fill the memory set aside for them; try again soon", 1))
    }

    /// Counts bytes out.
    pub(crate) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }
}

impl Held<'_> {
    /// Takes more.
    pub(crate) fn grow(&mut self, by: usize) -> Result<(), ApiError> {
        self.bytes += by;
        self.budget.take(by)
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, by: usize) {
        self.bytes -= by;
        self.budget.give(by);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Refuses a body by its declared length, before a byte of it is read.
pub(crate) fn check_declared(headers: &HeaderMap) -> Result<(), ApiError> {
    if declared(headers) > BODY_BYTES_MAX { Err(too_large()) } else { Ok(()) }
}

/// Reads a body. One that comes in one piece is not copied.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, held: &mut Held<'_>) -> Result<Bytes, ApiError> {
    let Some(first) = data(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let Some(second) = data(&mut body).await? else { return Ok(first) };
    held.grow(first.len())?;
    let mut whole = BytesMut::with_capacity(declared(headers).min(RESERVE_BYTES_MAX));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if whole.len() + piece.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        held.grow(piece.len())?;
        whole.extend_from_slice(&piece);
        next = data(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next piece that is not empty; trailers are passed over.
async fn data(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request("incomplete_body", format!("the body broke off while it was read: {error}"))
        })?;
        if let Ok(bytes) = frame.into_data()
            && !bytes.is_empty()
        {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn declared(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn too_large() -> ApiError {
    ApiError::too_large(format!("the body has more than {BODY_BYTES_MAX} bytes; send its events in several requests"))
}
