//! Request bodies from the wire, none larger or slower than the limits, all together within a budget.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use api::ApiError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use event::limits::{BODIES_BYTES_MAX, BODY_BYTES_MAX};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::pace::Pace;

/// What is reserved for a body before it comes; more is reserved as it comes.
const RESERVE_BYTES_MAX: usize = 64 << 10;

/// Bodies above this are judged in turn, once there are tenants: about ten microseconds of work.
const TURN_BYTES: usize = 16 << 10;

/// Lanes that are told apart; tenants whose lanes fall together share one.
pub(crate) const LANES: usize = 1_024;

/// The bytes that the bodies of all doors may hold at once.
///
/// Once there is more than the default tenant, a lane may hold no more than is free: one that floods has half of it at the
/// most, two have a third each, and there is always room for the next.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    lanes: [AtomicUsize; LANES],
    /// Who of a lane is at work on its body: as many as there are processors. So a lane that floods has that much work in
    /// front of a request of another, however many it sends at once.
    turns: [Semaphore; LANES],
    /// Whether a tenant was seen. Before, there is nobody to be fair to.
    shared: AtomicBool,
}

/// One request's part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a Budget,
    lane: u32,
    bytes: usize,
    turn: Option<SemaphorePermit<'a>>,
}

impl Default for Budget {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            held: AtomicUsize::new(0),
            lanes: [const { AtomicUsize::new(0) }; LANES],
            turns: std::array::from_fn(|_| Semaphore::new(cores)),
            shared: AtomicBool::new(false),
        }
    }
}

impl Budget {
    /// For a request of this lane, as `log::Append::lane` has it.
    pub(crate) fn hold(&self, lane: u32) -> Held<'_> {
        Held { budget: self, lane, bytes: 0, turn: None }
    }

    /// Counts bytes in, also when it says that they are too many; [`Budget::give`] is due in any case.
    pub(crate) fn take(&self, lane: u32, bytes: usize) -> Result<(), ApiError> {
        let held = self.held.fetch_add(bytes, Relaxed) + bytes;
        let mine = self.lanes[slot(lane)].fetch_add(bytes, Relaxed) + bytes;
        if lane != 0 && !self.shared.load(Relaxed) {
            self.shared.store(true, Relaxed);
        }
        let fair = || !self.shared.load(Relaxed) || mine <= BODIES_BYTES_MAX - held;
        if held <= BODIES_BYTES_MAX && fair() {
            return Ok(());
        }
        Err(ApiError::too_many("the bodies of other requests fill the memory set aside for them; try again soon", 1))
    }

    /// Counts bytes out.
    pub(crate) fn give(&self, lane: u32, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
        self.lanes[slot(lane)].fetch_sub(bytes, Relaxed);
    }
}

/// The default tenant has its own.
pub(crate) fn slot(lane: u32) -> usize {
    if lane == 0 { 0 } else { 1 + lane as usize % (LANES - 1) }
}

impl<'a> Held<'a> {
    /// Waits for the turn to work on a body that is there. It ends with [`Held::take_turn`]'s result.
    pub(crate) async fn wait_turn(&mut self, body: &Bytes) {
        if body.len() > TURN_BYTES && self.budget.shared.load(Relaxed) {
            // Never closed, so it is always given.
            self.turn = self.budget.turns[slot(self.lane)].acquire().await.ok();
        }
    }

    /// The turn, to be dropped when the body has been judged: before the wait for the disk, which is no work.
    pub(crate) fn take_turn(&mut self) -> Option<SemaphorePermit<'a>> {
        self.turn.take()
    }

    /// Takes more.
    pub(crate) fn grow(&mut self, by: usize) -> Result<(), ApiError> {
        self.bytes += by;
        self.budget.take(self.lane, by)
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, by: usize) {
        self.bytes -= by;
        self.budget.give(self.lane, by);
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
    let mut pace = Pace::new();
    let Some(first) = data(&mut body, &mut pace).await? else { return Ok(Bytes::new()) };
    if first.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let Some(second) = data(&mut body, &mut pace).await? else { return Ok(first) };
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
        next = data(&mut body, &mut pace).await?;
    }
    Ok(whole.freeze())
}

/// The next piece that is not empty; trailers are passed over.
async fn data(body: &mut Body, pace: &mut Pace) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = pace.wait(body.frame()).await? {
        let frame = frame.map_err(|error| {
            ApiError::bad_request("incomplete_body", format!("the body broke off while it was read: {error}"))
        })?;
        if let Ok(bytes) = frame.into_data()
            && !bytes.is_empty()
        {
            pace.came(bytes.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_lane_alone_may_hold_everything_and_beside_others_no_more_than_is_free() {
        let budget = Budget::default();
        budget.take(0, BODIES_BYTES_MAX).unwrap();
        assert!(budget.take(0, 1).is_err());
        budget.give(0, BODIES_BYTES_MAX + 1);

        // A flood, a megabyte at a time, by one tenant, then by another, then by the default one.
        let flood = |lane| (0..).take_while(|_| budget.take(lane, MIB).is_ok()).count();
        let taken = [7, 8, 0].map(|lane| {
            let taken = flood(lane);
            budget.give(lane, MIB);
            taken
        });
        assert_eq!(taken, [64, 32, 16], "there is always as much left again");
        budget.take(9, MIB).unwrap();
        // What was refused holds nothing.
        for (lane, taken) in [7, 8, 0].into_iter().zip(taken) {
            budget.give(lane, taken * MIB);
        }
        budget.give(9, MIB);
        assert_eq!(budget.held.load(Relaxed), 0);
        assert!(budget.lanes.iter().all(|lane| lane.load(Relaxed) == 0));
    }
}
