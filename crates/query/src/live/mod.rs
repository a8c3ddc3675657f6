//! `GET /v1/live`: figures, the latest anomalies and windows each second, as server-sent events.
//!
//! One ticker makes one frame a second for everybody; a subscriber that reads slowly misses frames, it holds up
//! nothing. The ticker also keeps the last minutes, so that a page that opens has its chart at once.

mod feed;
mod frame;

use std::convert::Infallible;
use std::sync::Arc;

use api::{ApiError, Caller};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};

use crate::desk::Desk;
use crate::error::QueryError;
use crate::params::{Params, list};
use crate::scope::Scope;
pub(crate) use feed::{Feed, start};
use feed::{Latest, Seat};
use frame::{Frame, OwnFrame, TOPICS};

/// Live figures, one JSON object a second: `rates`, `lag`, `latency`, `log`, `pressure`, `breakers`, `anomalies`, `windows`.
/// The first event is named `history` and holds the last minutes. With a tenant's key there are its own anomalies and
/// windows, and no other topic.
#[utoipa::path(
    get, path = "/v1/live", tag = "query",
    params(("topics" = Option<String>, Query,
        description = "a part of `rates,lag,latency,log,pressure,breakers,anomalies,windows,history`, with commas; all when absent")),
    responses(
        (status = 200, content_type = "text/event-stream", body = Frame),
        (status = 422, body = api::ErrorBody, description = "an unknown topic or parameter"),
        (status = 429, body = api::ErrorBody, description = "too many subscribers"),
    )
)]
pub(crate) async fn live(State(desk): State<Arc<Desk>>, caller: Caller, params: Params) -> Result<Response, ApiError> {
    params.only(&["topics"])?;
    let topics = read_topics(&params)?;
    let scope = Scope::of(&caller);
    let Some(seat) = desk.feed.subscribe(&scope) else {
        return Err(ApiError::too_many("as many live streams as this process serves are open; try again later", 5));
    };
    let mut response = if scope.as_deref().is_some() {
        Sse::new(own_frames_of(desk, scope, seat, topics)).keep_alive(KeepAlive::default()).into_response()
    } else {
        let history = topics.contains(&"history").then(|| desk.feed.history());
        let first = history.map(|rows| Ok(Event::default().event("history").data(rows)));
        let events = chain(stream::iter(first), frames_of(seat, topics));
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    };
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
fn frames_of(seat: Seat, topics: Vec<&'static str>) -> impl Stream<Item = Item> {
    stream::unfold(Some(seat), move |seat| {
        let topics = topics.clone();
        async move {
            let mut seat = seat?;
            let frame = seat.next().await?;
            let event = Event::default().data(frame.text(&topics));
            Some((Ok(event), (!frame.last).then_some(seat)))
        }
    })
}

/// The same for a caller with a tenant: its own latest rows, read again when anybody has new ones.
fn own_frames_of(
    desk: Arc<Desk>,
    scope: Scope,
    seat: Seat,
    topics: Vec<&'static str>,
) -> impl Stream<Item = Item> + use<> {
    let latest = Latest::of(scope, &topics);
    stream::unfold(Some((desk, seat, latest, topics)), move |state| async move {
        let (desk, mut seat, mut latest, topics) = state?;
        let frame = seat.next().await?;
        let rows = latest.read(&desk, frame.yielded()).await;
        let event = Event::default().data(OwnFrame::text(frame.time, rows, &topics));
        Some((Ok(event), (!frame.last).then_some((desk, seat, latest, topics))))
    })
}
