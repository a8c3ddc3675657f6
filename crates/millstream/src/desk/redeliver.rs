//! Dead letters through the doors of this process again.

use std::sync::Arc;

use collect::{Intake, Rejection, Replayed};
use engine::letters::{Landed, NotTaken, Ready, Redeliver, Rejected};
use event::DeadLetter;
use tokio::runtime::Handle;

/// The one intake behind all doors.
pub(crate) struct Doors {
    pub(crate) intake: Arc<Intake>,
    /// The log answers through it.
    pub(crate) runtime: Handle,
}

impl Redeliver for Doors {
    fn judge(&self, letter: &DeadLetter) -> Result<Ready, Rejected> {
        let replay = self.intake.replay(letter).map_err(|Rejection { code, pointer, message }| {
            let code = code.to_owned();
            Rejected { code, pointer, message }
        })?;
        let runtime = self.runtime.clone();
        Ok(Box::new(move || match runtime.block_on(replay.append()) {
            Ok(Replayed::Appended(_)) => Ok(Landed::Appended),
            Ok(Replayed::Known) => Ok(Landed::Known),
            Err(error) => Err(NotTaken(error.to_string())),
        }))
    }
}
