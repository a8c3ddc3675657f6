//! What the engine's threads and its handle share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::EngineError;

/// Flags across threads.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    stop: AtomicBool,
    failed: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a thread's work: whatever ends it but success is said loudly and kept, a panic included.
    pub(crate) fn guard(
        &self,
        thread: &'static str,
        work: impl FnOnce() -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(EngineError::Panicked { thread, message: message.unwrap_or_else(|| "no message".to_owned()) })
        });
        if let Err(error) = &result {
            tracing::error!(thread, %error, "the engine stopped");
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.to_string());
        }
        result
    }
}
