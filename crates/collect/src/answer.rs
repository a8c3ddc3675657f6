//! The log's answer to a request, counted also when the client has gone meanwhile: what is in the log has been accepted,
//! whoever hears of it.

use std::sync::Arc;

use event::StreamId;
use log::{LogError, Pending, Placed};

use crate::Intake;

/// What was sent to the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) stream: StreamId,
    /// Events for the stream itself.
    pub(crate) good: u64,
    /// Refused ones, for the internal stream.
    pub(crate) bad: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) mine: Placed,
    pub(crate) refused: Option<Placed>,
}

/// A request that the log has not answered yet.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) intake: Arc<Intake>,
    pub(crate) sent: Sent,
    /// `None` once it is answered.
    pub(crate) pending: Option<Pending>,
}

impl Unanswered {
    pub(crate) async fn wait(mut self) -> Result<Taken, LogError> {
        let Some(pending) = &mut self.pending else { return Err(LogError::Closed) };
        let answer = (&mut pending.0).await.unwrap_or(Err(LogError::Closed));
        self.pending = None;
        self.intake.settled(self.sent, &answer);
        Ok(self.intake.taken(self.sent, answer?))
    }
}

impl Drop for Unanswered {
    /// The client hung up. A task for every request would do as well, but costs each one what only these need.
    fn drop(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let (intake, sent) = (self.intake.clone(), self.sent);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let answer = pending.wait().await;
                intake.settled(sent, &answer);
                if let Ok(placed) = answer {
                    intake.taken(sent, placed);
                }
            });
        }
    }
}
