//! The lane of one target: one notification after the other, tried again when that can help, and a breaker that leaves the
//! target alone while it is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use breaker::{Breaker, BreakerState, Notice, Retry};
use bytes::Bytes;
use event::{DeliveryChange, DeliveryStatus};
use fastrand::Rng;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use metrics::{Counter, Gauge, counter, gauge};

use super::ledger::Ledger;
use super::post::{Answer, Post};
use super::{Letter, Settings};
use crate::Target;
use crate::sign::signatures;

const AGENT: &str = concat!("millstream/", env!("CARGO_PKG_VERSION"));

pub(super) struct Webhook {
    target: Target,
    retry: Retry,
    post: Post,
    ledger: Arc<Ledger>,
    busy: Arc<AtomicBool>,
    breaker: Mutex<Breaker>,
    chance: Mutex<Rng>,
    /// Whether the last notification was given up: of several in a row the first is told, the others are counted.
    giving_up: AtomicBool,
    meters: Meters,
}

struct Meters {
    state: Gauge,
    retries: Counter,
    delivered: Counter,
    retried: Counter,
    failed: Counter,
}

impl Meters {
    fn new(target: &str) -> Self {
        let result = |result: &'static str| counter!("millstream_alerts_total", "target" => target.to_owned(), "result" => result);
        let state = gauge!("millstream_breaker_state", "target" => target.to_owned());
        state.set(BreakerState::Closed.as_gauge());
        Self {
            state,
            retries: counter!("millstream_retries_total", "target" => target.to_owned()),
            delivered: result("delivered"),
            retried: result("retried"),
            failed: result("failed"),
        }
    }
}

impl Webhook {
    pub(super) fn new(target: Target, settings: &Settings, post: Post, ledger: Arc<Ledger>, chance: Rng) -> Self {
        Self {
            meters: Meters::new(target.name()),
            target,
            retry: settings.retry,
            post,
            ledger,
            busy: Arc::default(),
            breaker: Mutex::new(Breaker::new(settings.breaker)),
            chance: Mutex::new(chance),
            giving_up: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.target.name()
    }

    pub(super) fn lane(&self) -> &Arc<AtomicBool> {
        &self.busy
    }

    /// Whether it can be given work: it has none, and its target is not left alone. The metric is brought up to date here,
    /// since a breaker goes from open to half-open by time alone.
    pub(super) fn is_free(&self) -> bool {
        let state = self.breaker();
        self.meters.state.set(state.as_gauge());
        state != BreakerState::Open && !self.busy.load(Ordering::Acquire)
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.lock().state(self.ledger.elapsed_ms())
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries each once, in order, until the target is to be left alone or the courier ends. What becomes of one is in the
    /// store before the next is tried.
    pub(super) async fn deliver(&self, letters: Vec<Letter>) {
        for letter in letters {
            if self.ledger.stopping() || self.breaker() == BreakerState::Open {
                return;
            }
            let answer = self.send(&letter).await;
            self.note(&answer);
            let change = self.change(&letter, answer);
            if !self.ledger.keep(vec![change]).await {
                return;
            }
        }
    }

    async fn send(&self, letter: &Letter) -> Answer {
        if letter.attempts > 0 {
            self.meters.retries.increment(1);
        }
        let (id, body) = (&letter.alert.id, Bytes::from(letter.alert.body.clone()));
        // Of this try: receivers refuse what is minutes old, so that nobody can send it to them again.
        let timestamp_s = self.ledger.now().div_euclid(1_000);
        let request = Request::post(self.target.url())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", signatures(self.target.secrets(), id, timestamp_s, &body))
            .body(Full::new(body));
        match request {
            Ok(request) => self.post.send(request, self.ledger.clock()).await,
            Err(error) => Answer::Refused(format!("it cannot be sent: {error}")),
        }
    }

    /// What an answer says about the target: one that refuses is there all the same.
    fn note(&self, answer: &Answer) {
        let (now_ms, target) = (self.ledger.elapsed_ms(), self.name());
        let notice = {
            let mut breaker = self.lock();
            let notice = match answer {
                Answer::Delivered | Answer::Refused(_) => breaker.succeeded(now_ms),
                Answer::Later(..) => breaker.failed(now_ms),
            };
            self.meters.state.set(breaker.state(now_ms).as_gauge());
            notice
        };
        match (notice, answer) {
            (Some(Notice::Opened), Answer::Later(why, _)) => {
                tracing::warn!(
                    target,
                    why,
                    "a target of notifications is away; it is left alone, and asked now and then"
                );
            }
            (Some(Notice::Recovered(ms)), _) => {
                tracing::info!(target, away_ms = ms, "a target of notifications is back");
            }
            _ => {}
        }
    }

    fn change(&self, letter: &Letter, answer: Answer) -> DeliveryChange {
        let (row, at) = (letter.row, self.ledger.now());
        let give_up = |error: String| DeliveryChange { row, at, status: DeliveryStatus::Failed, error, next_at: at };
        let change = match answer {
            Answer::Delivered => {
                DeliveryChange { row, at, status: DeliveryStatus::Delivered, error: String::new(), next_at: at }
            }
            Answer::Refused(why) => give_up(why),
            Answer::Later(why, after_ms) => match self.delay_ms(letter.attempts.saturating_add(1), after_ms) {
                Some(delay_ms) => DeliveryChange {
                    row,
                    at,
                    status: DeliveryStatus::Pending,
                    error: why,
                    next_at: at.saturating_add_unsigned(delay_ms),
                },
                None => give_up(format!("{why}; it was the last of {} tries", self.retry.attempts)),
            },
        };
        self.count(letter, &change);
        change
    }

    /// After so many failures; a target that asks for more time gets it, within the longest delay.
    fn delay_ms(&self, failures: u32, after_ms: Option<u64>) -> Option<u64> {
        let chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64();
        let delay = self.retry.delay_ms(failures, chance)?;
        Some(delay.max(after_ms.unwrap_or(0).min(self.retry.max_ms)))
    }

    fn count(&self, letter: &Letter, change: &DeliveryChange) {
        let (meter, gave_up) = match change.status {
            DeliveryStatus::Delivered => (&self.meters.delivered, Some(false)),
            DeliveryStatus::Pending => (&self.meters.retried, None),
            DeliveryStatus::Failed => (&self.meters.failed, Some(true)),
        };
        meter.increment(1);
        let Some(gave_up) = gave_up else { return };
        if !self.giving_up.swap(gave_up, Ordering::AcqRel) && gave_up {
            let (target, id, why) = (self.name(), letter.alert.id.as_str(), change.error.as_str());
            tracing::error!(target, id, why, "a notification is given up; more of them in a row are only counted");
        }
    }
}
