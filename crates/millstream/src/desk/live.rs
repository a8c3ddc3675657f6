//! The running engine, as a replay touches it.

use std::sync::Arc;

use engine::replay::Live;
use event::StreamId;
use process::Program;

use crate::processing::Processing;

/// The engine of this process.
pub(crate) struct LiveEngine(pub(crate) Arc<Processing>);

impl Live for LiveEngine {
    fn generation(&self) -> Option<u64> {
        self.0.generation()
    }

    fn has_all(&self, stream: StreamId) -> bool {
        self.0.has_all(stream)
    }

    fn program(&self, stream: StreamId) -> Result<Option<Program>, String> {
        self.0.program(stream).map_err(|error| format!("{error:#}"))
    }

    fn pause(&self, work: &mut dyn FnMut()) -> Result<(), String> {
        self.0.pause(work).map_err(|error| format!("{error:#}"))
    }
}
