//! `GET /v1/live`: figures and the latest anomalies each second, as server-sent events.
//!
//! One ticker makes one frame a second for everybody; a subscriber that reads slowly misses frames, it holds up
//! nothing. The ticker also keeps the last minutes, so that a page that opens has its chart at once.

mod feed;
mod frame;

use std::convert::Infallible;
use std::sync::Arc;

use api::ApiError;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::desk::Desk;
use crate::error::QueryError;
use crate::params::{Params, list};
pub(crate) use feed::{Feed, start};
use frame::{Frame, TOPICS};

/// Live figures, one JSON object a second: `rates`, `lag`, `latency`, `log`, `pressure`, `anomalies`. The first event is
/// named `history` and holds the last minutes.
#[utoipa::path(
    get, path = "/v1/live", tag = "query",
    params(("topics" = Option<String>, Query,
        description = "a part of `rates,lag,latency,log,pressure,anomalies,history`, with commas; all when absent")),
    responses(
        (status = 200, content_type = "text/event-stream", body = Frame),
        (status = 422, body = api::ErrorBody, description = "an unknown topic or parameter"),
        (status = 429, body = api::ErrorBody, description = "too many subscribers"),
    )
)]
pub(crate) async fn live(State(desk): State<Arc<Desk>>, params: Params) -> Result<Response, ApiError> {
    params.only(&["topics"])?;
    let topics = read_topics(&params)?;
    let Some((seat, frames)) = desk.feed.subscribe() else {
        return Err(ApiError::too_many("as many live streams as this process serves are open; try again later", 5));
    };
    let history = topics.contains(&"history").then(|| desk.feed.history());
    let first = history.map(|rows| Ok(Event::default().event("history").data(rows)));
    let events = stream::iter(first);
    let mut response =
        Sse::new(chain(events, frames_of(seat, frames, topics))).keep_alive(KeepAlive::default()).into_response();
    // Proxies that buffer answers would hold a stream back for ever.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

type Item = Result<Event, Infallible>;

fn chain(first: impl Stream<Item = Item>, rest: impl Stream<Item = Item>) -> impl Stream<Item = Item> {
    futures_util::StreamExt::chain(first, rest)
}

fn read_topics(params: &Params) -> Result<Vec<&'static str>, QueryError> {
    let Some(value) = params.raw("topics") else { return Ok(TOPICS.to_vec()) };
    let find = |word: &str| TOPICS.into_iter().find(|topic| *topic == word.trim());
    let topics: Option<Vec<&'static str>> = value.split(',').map(find).collect();
    topics.ok_or_else(|| QueryError::parameter("topics", value, format!("a list with commas of {}", list(&TOPICS))))
}

/// The frames from now on; ends with the process. The seat is free again when the stream is dropped.
fn frames_of(
    seat: OwnedSemaphorePermit,
    frames: watch::Receiver<Option<Arc<Frame>>>,
    topics: Vec<&'static str>,
) -> impl Stream<Item = Item> {
    stream::unfold(Some((seat, frames)), move |state| {
        let topics = topics.clone();
        async move {
            let (seat, mut frames) = state?;
            let frame = loop {
                frames.changed().await.ok()?;
                if let Some(frame) = frames.borrow_and_update().clone() {
                    break frame;
                }
            };
            let event = Event::default().data(frame.text(&topics));
            Some((Ok(event), (!frame.last).then_some((seat, frames))))
        }
    })
}
