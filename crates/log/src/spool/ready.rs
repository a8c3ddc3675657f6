//! The requests whose answers are there: each has a waker that puts its number here.

use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::{Condvar, Mutex};

/// Numbers of requests to look at.
#[derive(Debug, Default)]
pub(super) struct Ready {
    numbers: Mutex<Numbers>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Numbers {
    numbers: Vec<u64>,
    kicked: bool,
    stopped: bool,
}

impl Ready {
    /// A waker that puts this number here.
    pub(super) fn waker(self: &Arc<Self>, number: u64) -> Waker {
        Waker::from(Arc::new(Signal { ready: self.clone(), number }))
    }

    pub(super) fn push(&self, number: u64) {
        let mut ready = self.numbers.lock();
        ready.numbers.push(number);
        if ready.numbers.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Lets the one who waits look, with or without numbers.
    pub(super) fn kick(&self) {
        self.numbers.lock().kicked = true;
        self.filled.notify_one();
    }

    pub(super) fn stop(&self) {
        self.numbers.lock().stopped = true;
        self.filled.notify_one();
    }

    /// Waits for numbers or a kick; false when there will be none.
    pub(super) fn wait(&self) -> bool {
        let mut ready = self.numbers.lock();
        self.filled.wait_while(&mut ready, |ready| ready.numbers.is_empty() && !ready.kicked && !ready.stopped);
        ready.kicked = false;
        !ready.numbers.is_empty() || !ready.stopped
    }

    /// The numbers that are here now.
    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.numbers.lock().numbers)
    }
}

struct Signal {
    ready: Arc<Ready>,
    number: u64,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.number);
    }
}
