//! One `Publish` call: batches in, in order, several in flight; cumulative acknowledgements out, in the same order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::{ApiError, Caller, RequestId};
use event::StreamId;
use event::limits::{GRPC_IN_FLIGHT_MAX, REJECTED_LISTED_MAX};
use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt};
use tokio::time::Sleep;
use tonic::{Request, Status, Streaming};

use super::meter::Meter;
use super::{pb, told, translate};
use crate::intake::Queued;
use crate::{Accept, Intake, IntakeError, Verdicts};

/// Bytes that one turn reads before others have theirs: some hundred microseconds of work.
const TURN_BYTES: usize = 256 << 10;

type Answer = Pin<Box<dyn Future<Output = (u64, Result<Verdicts, IntakeError>)> + Send>>;

/// The responses of one call. It is driven by whoever sends them: no task, no channel, and when the call is cancelled,
/// dropping it is all there is to do; what is in the log is counted then.
pub(super) struct Publishing {
    intake: Arc<Intake>,
    caller: Caller,
    requests: Streaming<pb::PublishRequest>,
    meter: Option<Arc<Meter>>,
    request_id: Option<RequestId>,
    /// The stream of the batch before.
    stream: Option<StreamId>,
    /// The sequence of the batch before.
    sequence: u64,
    in_flight: FuturesOrdered<Answer>,
    /// The wait of the next batch for pressure to pass: `None` before it was looked at, `Some(None)` when it is over.
    pause: Option<Option<Pin<Box<Sleep>>>>,
    /// Set once nothing more is read: how the call ends when everything in flight is answered.
    end: Option<Result<(), Status>>,
}

impl Publishing {
    pub(super) fn new(intake: Arc<Intake>, request: Request<Streaming<pb::PublishRequest>>) -> Self {
        let (_, mut extensions, requests) = request.into_parts();
        let caller = Caller::from_extensions(&extensions);
        let (meter, request_id) = (extensions.remove(), extensions.remove());
        let in_flight = FuturesOrdered::new();
        Self {
            intake,
            caller,
            requests,
            meter,
            request_id,
            stream: None,
            sequence: 0,
            in_flight,
            pause: None,
            end: None,
        }
    }

    /// Takes batches while there are some, there is room, and it is our turn. Not reading is what holds the sender back.
    fn read(&mut self, context: &mut Context<'_>) {
        let mut bytes = 0;
        while self.end.is_none() && self.in_flight.len() < GRPC_IN_FLIGHT_MAX {
            if self.is_held_back(context) {
                return;
            }
            if bytes > TURN_BYTES {
                return context.waker().wake_by_ref();
            }
            match self.requests.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(batch))) => {
                    self.pause = None;
                    bytes += batch.events.len();
                    self.take(batch);
                }
                Poll::Ready(Some(Err(status))) => self.end = Some(Err(told(status))),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending => return,
            }
        }
    }

    /// Whether the next batch waits for pressure to pass. Once for each batch.
    fn is_held_back(&mut self, context: &mut Context<'_>) -> bool {
        let pause = self.pause.get_or_insert_with(|| {
            let delay = self.intake.pressure().delay(self.intake.lane(self.caller.writes_as()));
            #[expect(clippy::disallowed_methods, reason = "to let time pass is what this is for")]
            let pause = (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep(delay)));
            pause
        });
        let waits = pause.as_mut().is_some_and(|pause| pause.as_mut().poll(context).is_pending());
        if !waits {
            *pause = None;
        }
        waits
    }

    fn take(&mut self, batch: pb::PublishRequest) {
        if let Some(meter) = &self.meter {
            meter.read();
        }
        let sequence = batch.sequence;
        match self.queue(batch) {
            Ok(queued) => {
                let answer: Answer = Box::pin(async move { (sequence, queued.answer().await) });
                self.in_flight.push_back(answer);
            }
            Err(error) => self.end = Some(Err(ended(sequence, error))),
        }
    }

    /// When it returns, the batch has its place in the log, behind those before it.
    fn queue(&mut self, batch: pb::PublishRequest) -> Result<Queued, ApiError> {
        let pb::PublishRequest { sequence, stream, ack, format, events: body } = batch;
        if sequence <= self.sequence {
            let message = format!("`sequence`: expected more than {}, found {sequence}", self.sequence);
            return Err(ApiError::bad_request("invalid_parameter", message));
        }
        let stream = match self.stream {
            Some(before) if stream.is_empty() => before,
            _ => self.intake.find(&stream)?,
        };
        let (ack, format) = (translate::ack(ack)?, translate::format(format)?);
        // Dead letters of one call are told apart by the batch.
        let request_id = self.request_id.as_ref().map_or_else(String::new, |id| format!("{}/{sequence}", id.0));
        (self.stream, self.sequence) = (Some(stream), sequence);
        let (tenant, request_id) = (self.caller.writes_as(), &*request_id);
        Ok(self.intake.queue(Accept { tenant, stream, body, format, ack, request_id, ids: None })?)
    }

    /// All answers that are there, as one response; `acked` stays 0 when there is none.
    fn answers(&mut self, context: &mut Context<'_>) -> pb::PublishResponse {
        let mut response = pb::PublishResponse::default();
        // Bounded, so that a response is not larger than what clients take.
        while response.rejections.len() < REJECTED_LISTED_MAX
            && let Poll::Ready(Some((sequence, answer))) = self.in_flight.poll_next_unpin(context)
        {
            match answer {
                Ok(verdicts) => translate::add(&mut response, sequence, verdicts),
                Err(error) => {
                    // Cumulative: what comes after it cannot be acknowledged, whether it is in the log or not.
                    self.in_flight.clear();
                    self.end = Some(Err(ended(sequence, error.into())));
                }
            }
        }
        response
    }
}

fn ended(sequence: u64, error: ApiError) -> Status {
    error.at(&format!("batch {sequence}")).into()
}

impl Stream for Publishing {
    type Item = Result<pb::PublishResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let call = self.get_mut();
        call.read(context);
        let response = call.answers(context);
        if response.acked > 0 {
            return Poll::Ready(Some(Ok(response)));
        }
        match &mut call.end {
            // Left in place, so that nothing is read after the end.
            Some(end) if call.in_flight.is_empty() => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            _ => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publishing").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}
