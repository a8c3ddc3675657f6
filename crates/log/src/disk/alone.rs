//! Membership of a log that one process has alone: all partitions are its own, until it leaves.

use std::sync::Arc;

use event::StreamId;

use crate::{Membership, Owner};

/// The only member there can be.
pub(super) struct Alone {
    partitions: Vec<(StreamId, u32)>,
    owner: Arc<dyn Owner>,
}

impl Alone {
    /// Hands all partitions over at once.
    pub(super) fn new(partitions: Vec<(StreamId, u32)>, owner: Arc<dyn Owner>) -> Self {
        owner.gained(&partitions);
        Self { partitions, owner }
    }
}

impl Membership for Alone {
    fn partitions(&self) -> Vec<(StreamId, u32)> {
        self.partitions.clone()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.owner.losing(&self.partitions);
    }
}
