//! What a spool says of itself in metrics.

use metrics::{Counter, Gauge, counter, gauge};

use super::core::Core;
use super::way::Way;
use crate::Log;

/// The metrics of a spool.
pub(super) struct Figures {
    bytes: Gauge,
    ratio: Gauge,
    records: Gauge,
    oldest: Gauge,
    state: Gauge,
    pub(super) drained: Counter,
    pub(super) expired: Counter,
    pub(super) refused: Counter,
    pub(super) known: Counter,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            bytes: gauge!("millstream_spool_bytes"),
            ratio: gauge!("millstream_spool_used_ratio"),
            records: gauge!("millstream_spool_records"),
            oldest: gauge!("millstream_spool_oldest_age_seconds"),
            state: gauge!("millstream_spool_state"),
            drained: counter!("millstream_spool_drained_total"),
            expired: counter!("millstream_spool_expired_total"),
            refused: counter!("millstream_spool_refused_total"),
            known: counter!("millstream_spool_known_total"),
        }
    }
}

impl Core {
    /// Sets the gauges to what is so now.
    pub(super) fn show(&self) {
        let figures = &self.figures;
        let bytes = self.spool.status().bytes as f64;
        figures.bytes.set(bytes);
        figures.ratio.set(bytes / (self.settings.bytes_max as f64).max(1.0));
        figures.records.set(self.undrained() as f64);
        let age_ms = self.oldest().map_or(0, |oldest| self.ages.now(&*self.clock) - oldest);
        figures.oldest.set(age_ms.max(0) as f64 / 1_000.0);
        let state = self.state.lock();
        figures.state.set(match (state.way, state.draining) {
            (_, true) => 2.0,
            (Way::Disk, false) => 1.0,
            (Way::Broker, false) => 0.0,
        });
    }
}
