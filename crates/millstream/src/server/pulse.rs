//! One connection as its listener sees it: what it does, since when, and whether it has to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use super::bounds::Timeouts;

/// The listener's time in looks since its begin. A connection reads it with every byte, so it asks no clock.
#[derive(Debug, Default)]
pub(super) struct Looks(AtomicU32);

impl Looks {
    /// Turns it to the look of this number.
    pub(super) fn set(&self, look: u32) {
        self.0.store(look, Relaxed);
    }

    fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// The time-outs in looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    first_byte: u32,
    head: u32,
    idle: u32,
    write: u32,
}

impl Limits {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let every = timeouts.look_every().as_nanos();
        let looks = |timeout: Duration| u32::try_from(timeout.as_nanos().div_ceil(every)).unwrap_or(u32::MAX);
        Self {
            first_byte: looks(timeouts.first_byte),
            head: looks(timeouts.head),
            idle: looks(timeouts.idle),
            write: looks(timeouts.write),
        }
    }
}

/// What a connection without a request in flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// Its first byte; under TLS the handshake, and then the first byte.
    First,
    /// The rest of a head.
    Head,
    /// The next request.
    Idle,
    /// The next request over HTTP/2, where bytes come also without one.
    Multiplexed,
}

/// What a connection is told by its listener; the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Take no more requests, say goodbye.
    Finish = 1,
    /// End now.
    Cut = 2,
}

/// The state of one connection. The connection writes it, its listener reads it.
#[derive(Debug)]
pub(super) struct Pulse {
    looks: Arc<Looks>,
    stage: AtomicU8,
    /// The look at which the stage began.
    since: AtomicU32,
    /// Requests in flight, up to the last byte of their answers.
    requests: AtomicU32,
    /// The look at which the client stopped taking what waits for it, plus one; 0 when nothing waits.
    stalled: AtomicU32,
    order: AtomicU8,
    told: Notify,
}

impl Pulse {
    pub(super) fn new(looks: Arc<Looks>) -> Self {
        let since = AtomicU32::new(looks.now());
        Self {
            looks,
            stage: AtomicU8::new(Stage::First as u8),
            since,
            requests: AtomicU32::new(0),
            stalled: AtomicU32::new(0),
            order: AtomicU8::new(0),
            told: Notify::new(),
        }
    }

    fn enter(&self, stage: Stage) {
        self.since.store(self.looks.now(), Relaxed);
        self.stage.store(stage as u8, Relaxed);
    }

    fn stage(&self) -> Stage {
        let stages = [Stage::First, Stage::Head, Stage::Idle, Stage::Multiplexed];
        stages[usize::from(self.stage.load(Relaxed)) % stages.len()]
    }

    /// The handshake is done.
    pub(super) fn encrypted(&self) {
        self.enter(Stage::First);
    }

    /// It speaks HTTP/2: from now on only requests count, not bytes.
    pub(super) fn multiplexed(&self) {
        self.enter(Stage::Multiplexed);
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        if !self.busy() && matches!(self.stage(), Stage::First | Stage::Idle) {
            self.enter(Stage::Head);
        }
    }

    /// A head is whole.
    pub(super) fn began(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// An answer is out, or will never be.
    pub(super) fn ended(&self) {
        let stage = if self.stage() == Stage::Multiplexed { Stage::Multiplexed } else { Stage::Idle };
        self.enter(stage);
        self.requests.fetch_sub(1, Relaxed);
    }

    /// Bytes wait that the client does not take.
    pub(super) fn stalls(&self) {
        if self.stalled.load(Relaxed) == 0 {
            self.stalled.store(self.looks.now() + 1, Relaxed);
        }
    }

    /// It takes them again.
    pub(super) fn flows(&self) {
        if self.stalled.load(Relaxed) != 0 {
            self.stalled.store(0, Relaxed);
        }
    }

    /// Whether a request is in flight.
    pub(super) fn busy(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// What has to be done about it now: nothing, unless one of its time-outs is over.
    pub(super) fn overdue(&self, limits: &Limits) -> Option<Order> {
        // One look more: it may have begun right before the look that it carries.
        let over = |since: u32, limit: u32| self.looks.now().saturating_sub(since) > limit;
        let stalled = self.stalled.load(Relaxed);
        if stalled > 0 && over(stalled - 1, limits.write) {
            return Some(Order::Cut);
        }
        if self.busy() {
            return None;
        }
        let (limit, order) = match self.stage() {
            Stage::First => (limits.first_byte, Order::Cut),
            Stage::Head => (limits.head, Order::Cut),
            Stage::Idle | Stage::Multiplexed => (limits.idle, Order::Finish),
        };
        over(self.since.load(Relaxed), limit).then_some(order)
    }

    /// Since when it could make room for another, and how; `None` while a request is in flight, or when it is going.
    pub(super) fn spare(&self) -> Option<(u32, Order)> {
        if self.busy() || self.order().is_some() {
            return None;
        }
        let order = match self.stage() {
            Stage::First | Stage::Head => Order::Cut,
            Stage::Idle | Stage::Multiplexed => Order::Finish,
        };
        Some((self.since.load(Relaxed), order))
    }

    /// Tells it to go.
    pub(super) fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, Relaxed) < order as u8 {
            self.told.notify_one();
        }
    }

    /// What it was told so far.
    pub(super) fn order(&self) -> Option<Order> {
        match self.order.load(Relaxed) {
            0 => None,
            1 => Some(Order::Finish),
            _ => Some(Order::Cut),
        }
    }

    /// Waits until it is told to go.
    pub(super) async fn told(&self) -> Order {
        loop {
            if let Some(order) = self.order() {
                return order;
            }
            self.told.notified().await;
        }
    }
}
