//! Turning a running emitter: `POST /configure` sets its rate and burst mode, `POST /burst` raises the rate for a while.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::ApiError;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use log::Clock;
use serde::{Deserialize, Serialize};

const RATE_MAX: f64 = 10_000_000.0;
const BURST_SECONDS_MAX: f64 = 3_600.0;
const MULTIPLIER_MAX: f64 = 100.0;

/// What can be turned while an emitter runs.
#[derive(Debug)]
pub(crate) struct Control(Mutex<Wanted>);

#[derive(Clone, Copy, Debug)]
struct Wanted {
    rate: f64,
    burst: bool,
    /// Until when, by the clock's elapsed time, the rate is raised, and by which factor.
    raised: Option<(Duration, f64)>,
}

impl Control {
    /// The settings at the start.
    pub(crate) fn new(rate: f64, burst: bool) -> Self {
        Self(Mutex::new(Wanted { rate, burst, raised: None }))
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rate that is wanted at this moment, in events a second.
    pub(crate) fn rate(&self, now: Duration) -> f64 {
        let wanted = self.wanted();
        let factor = wanted.raised.filter(|(until, _)| now < *until).map_or(1.0, |(_, factor)| factor);
        wanted.rate * factor
    }

    /// Whether burst mode is on.
    pub(crate) fn burst(&self) -> bool {
        self.wanted().burst
    }
}

/// What `POST /configure` takes and answers.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Configure {
    signals_per_second: Option<f64>,
    burst_mode: Option<bool>,
}

/// What `POST /burst` takes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Burst {
    duration_seconds: f64,
    multiplier: f64,
}

#[derive(Clone)]
struct Desk {
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
}

/// The two endpoints.
pub(crate) fn router(control: Arc<Control>, clock: Arc<dyn Clock>) -> Router {
    Router::new().route("/configure", post(configure)).route("/burst", post(burst)).with_state(Desk { control, clock })
}

async fn configure(
    State(desk): State<Desk>,
    body: Result<Json<Configure>, JsonRejection>,
) -> Result<Json<Configure>, ApiError> {
    let Json(body) = body.map_err(|error| ApiError::unprocessable("invalid_body", error.body_text()))?;
    if let Some(rate) = body.signals_per_second {
        within("signals_per_second", rate, 0.1, RATE_MAX)?;
    }
    let mut wanted = desk.control.wanted();
    wanted.rate = body.signals_per_second.unwrap_or(wanted.rate);
    wanted.burst = body.burst_mode.unwrap_or(wanted.burst);
    Ok(Json(Configure { signals_per_second: Some(wanted.rate), burst_mode: Some(wanted.burst) }))
}

async fn burst(
    State(desk): State<Desk>,
    body: Result<Json<Burst>, JsonRejection>,
) -> Result<(StatusCode, Json<Burst>), ApiError> {
    let Json(body) = body.map_err(|error| ApiError::unprocessable("invalid_body", error.body_text()))?;
    within("duration_seconds", body.duration_seconds, 0.1, BURST_SECONDS_MAX)?;
    within("multiplier", body.multiplier, 1.0, MULTIPLIER_MAX)?;
    let until = desk.clock.elapsed() + Duration::from_secs_f64(body.duration_seconds);
    desk.control.wanted().raised = Some((until, body.multiplier));
    Ok((StatusCode::ACCEPTED, Json(body)))
}

fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), ApiError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ApiError::unprocessable("out_of_range", format!("{name} is {value}; expected {low} to {high}")))
}
