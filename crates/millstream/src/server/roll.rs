//! All connections of one listener: looked over for time-outs, and for somebody to make room.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::bounds::Timeouts;
use super::pulse::{Limits, Looks, Order, Pulse};

/// One connection in so many makes room at once, so that a flood does not look at all of them for each newcomer.
const ROOM_SHARE: usize = 1_024;

/// The connections of one listener. It belongs to the task that accepts, so there is no lock: who goes is not told here,
/// but found gone at the next look.
#[derive(Debug)]
pub(super) struct Roll {
    pulses: Vec<Weak<Pulse>>,
    looks: Arc<Looks>,
    limits: Limits,
    began: Instant,
    timeouts: Timeouts,
}

impl Roll {
    /// `began` is the time of the first look.
    pub(super) fn new(timeouts: Timeouts, began: Instant) -> Self {
        let (looks, limits) = (Arc::default(), Limits::new(&timeouts));
        Self { pulses: Vec::new(), looks, limits, began, timeouts }
    }

    /// One more.
    pub(super) fn enter(&mut self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(self.looks.clone()));
        self.pulses.push(Arc::downgrade(&pulse));
        pulse
    }

    /// Turns the time on, and sends away whose time is over.
    pub(super) fn look(&mut self, now: Instant) {
        let passed = now.duration_since(self.began).as_nanos() / self.timeouts.look_every().as_nanos();
        self.looks.set(u32::try_from(passed).unwrap_or(u32::MAX - 1));
        let limits = self.limits;
        self.pulses.retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            if let Some(order) = pulse.overdue(&limits) {
                pulse.tell(order);
            }
            true
        });
    }

    /// Sends away who did nothing for the longest time. None may be left who does nothing.
    pub(super) fn make_room(&mut self) {
        // Who entered first comes first among those of the same look.
        let mut spare: Vec<(u32, usize, Order, Arc<Pulse>)> = Vec::new();
        self.pulses.retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            if let Some((since, order)) = pulse.spare() {
                spare.push((since, spare.len(), order, pulse));
            }
            true
        });
        let leave = self.pulses.len() / ROOM_SHARE + 1;
        if spare.len() > leave {
            spare.select_nth_unstable_by_key(leave, |(since, place, ..)| (*since, *place));
        }
        for (.., order, pulse) in spare.iter().take(leave) {
            pulse.tell(*order);
        }
    }
}
