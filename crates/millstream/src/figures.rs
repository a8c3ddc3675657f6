//! What a running product says about itself: readiness, totals of this moment, metrics. Cheap, and never blocks.

use std::sync::Arc;
use std::time::Duration;

use collect::Intake;
use event::Millis;
use log::{Clock, Log, LogStatus};
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use query::{Live, Ready};
use tokio::sync::watch;

use crate::alerting::Alerting;
use crate::processing::Processing;
use crate::telemetry;
use crate::together::Together;

/// The parts that have something to say.
pub(crate) struct Figures {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) intake: Option<Arc<Intake>>,
    pub(crate) processing: Arc<Processing>,
    pub(crate) alerting: Arc<Alerting>,
    pub(crate) clock: Arc<dyn Clock>,
    /// When the process began, by the clock's elapsed time.
    pub(crate) began: Duration,
    /// Set at the begin of a drain, and never unset. Calls without an end listen to it.
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) prometheus: PrometheusHandle,
    /// What other processes say of themselves.
    pub(crate) together: Arc<Together>,
    /// How old may get what waits for a broker that is away, in milliseconds.
    pub(crate) spool_age_max_ms: Millis,
}

impl Figures {
    /// Figures from now on. Metrics are kept up from here.
    pub(crate) fn new(
        log: Arc<dyn Log>,
        intake: Option<Arc<Intake>>,
        processing: Arc<Processing>,
        alerting: Arc<Alerting>,
        clock: Arc<dyn Clock>,
        prometheus: PrometheusHandle,
        (together, spool_age_max_ms): (Arc<Together>, Millis),
    ) -> Self {
        telemetry::keep_up(prometheus.clone());
        let (began, draining) = (clock.elapsed(), watch::Sender::new(false));
        Self { log, intake, processing, alerting, clock, began, draining, prometheus, together, spool_age_max_ms }
    }

    /// Totals since the start, of all processes that tell theirs.
    pub(crate) fn live(&self) -> Live {
        self.together.with(self.own())
    }

    /// Totals of this process since its start.
    pub(crate) fn own(&self) -> Live {
        let mut live = Live {
            processes: 1,
            log_bytes: self.log.status().bytes,
            uptime_seconds: self.clock.elapsed().saturating_sub(self.began).as_secs(),
            draining: *self.draining.borrow(),
            ..Live::default()
        };
        if let Some(intake) = self.intake.as_ref().map(|intake| intake.stats()) {
            live.accepted = intake.accepted();
            live.duplicates = intake.duplicates();
            live.rejected = intake.rejected();
            live.ack_ms = intake.ack_ms();
        }
        if let Some(engine) = self.processing.stats() {
            live.stored = engine.stored();
            live.dead_letters = engine.dead_letters();
            live.quarantined = engine.quarantined();
            live.late = engine.late();
            live.windows = engine.windows_closed();
            live.breakers.push(("store".to_owned(), engine.breaker().as_str()));
            live.anomalies = engine.anomalies();
            live.lag_events = engine.lag_events();
            live.lag_by_partition = engine.lag_by_partition();
            live.end_to_end_ms = engine.end_to_end_ms();
        }
        live.breakers.extend(self.alerting.breakers());
        live
    }

    /// Events in the log that are not processed yet; 0 without an engine.
    pub(crate) fn lag_events(&self) -> u64 {
        self.processing.stats().map_or(0, |engine| engine.lag_events())
    }

    /// Events processed since the start.
    pub(crate) fn stored(&self) -> u64 {
        self.processing.stats().map_or(0, |engine| engine.stored())
    }

    /// Windows closed since the start.
    pub(crate) fn windows_closed(&self) -> u64 {
        self.processing.stats().map_or(0, |engine| engine.windows_closed())
    }

    /// Whether this process can do its work, and if not why.
    pub(crate) fn ready(&self) -> Ready {
        let reason = self.hindrance();
        Ready { ready: reason.is_none(), reason: reason.unwrap_or_default() }
    }

    /// Why it cannot.
    pub(crate) fn hindrance(&self) -> Option<String> {
        if *self.draining.borrow() {
            return Some("draining: this process is about to stop".to_owned());
        }
        let status = self.log.status();
        if let Some(reason) = &status.poisoned {
            return Some(format!("the log stopped writing: {reason}"));
        }
        if let Some(reason) = self.intake.as_ref().and_then(|intake| self.takes_nothing(intake, &status)) {
            return Some(reason);
        }
        self.processing.failed().map(|reason| format!("the engine failed: {reason}"))
    }

    /// Why no events are taken while the broker is away: there is no spool, or it is full, or too old.
    fn takes_nothing(&self, intake: &Intake, status: &LogStatus) -> Option<String> {
        let Some(spool) = &status.spool else {
            return status.away.as_ref().map(|why| format!("the broker cannot be reached: {why}"));
        };
        // By what it refused last: it sets some room aside. Once it is drained there is room in any case.
        if spool.records > 0 && intake.stats().disk_full() {
            let why =
                status.away.as_ref().map_or(String::new(), |why| format!("; the broker cannot be reached: {why}"));
            return Some(format!("the spool is full{why}"));
        }
        let age_ms = spool.oldest.map_or(0, |oldest| self.clock.now() - oldest);
        let too_long = status.away.as_ref().filter(|_| age_ms >= self.spool_age_max_ms);
        too_long.map(|why| format!("the broker has been away for too long: {why}"))
    }

    /// Every metric, with the gauges as they are now.
    pub(crate) fn prometheus(&self) -> String {
        let status = self.log.status();
        gauge!("millstream_log_bytes").set(status.bytes as f64);
        let age_ms = status.oldest.map_or(0, |oldest| self.clock.now() - oldest);
        gauge!("millstream_log_oldest_age_seconds").set(age_ms as f64 / 1_000.0);
        gauge!("millstream_log_away").set(if status.away.is_some() { 1.0 } else { 0.0 });
        self.prometheus.render()
    }
}
