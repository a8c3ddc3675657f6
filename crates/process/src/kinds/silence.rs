//! Cooldowns: after a rule fired for a key it is silent for that key for a while.
//!
//! The *now* of a key is the newest time among its records that the rule looked at; nobody else's records move it. A
//! rule that fires is silent until `now + cooldown`; it may fire again when *now* has reached that.

use event::Millis;

use crate::keys::Track;
use crate::wire::{self, Reader};

/// The memory of one key under a rule that remembers nothing but its cooldown; a part of it under others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The key's *now*; `Millis::MIN` before its first record.
    newest: Millis,
    /// Silent before this; `Millis::MIN` when it never fired.
    until: Millis,
}

impl Default for Silence {
    fn default() -> Self {
        Self { newest: Millis::MIN, until: Millis::MIN }
    }
}

impl Silence {
    /// Takes the time of a record.
    #[inline]
    pub(crate) fn see(&mut self, time: Millis) {
        self.newest = self.newest.max(time);
    }

    /// Whether the rule may fire now; if so, it has.
    pub(crate) fn fire(&mut self, cooldown_ms: Millis) -> bool {
        let loud = self.is_over();
        if loud {
            self.until = self.newest.saturating_add(cooldown_ms);
        }
        loud
    }

    /// Whether nothing of it is left: to forget it makes no difference, as *now* never goes back.
    pub(crate) fn is_over(&self) -> bool {
        self.newest >= self.until
    }
}

impl Track for Silence {
    fn encode(&self, out: &mut Vec<u8>) {
        wire::put_time(out, self.newest, 0);
        wire::put_time(out, self.until, self.newest);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let newest = reader.time(0)?;
        Some(Self { newest, until: reader.time(newest)? })
    }
}
