//! What tenants share, a bounded part of it for each: so that one which asks without pause leaves the rest to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// The parts.
pub(crate) struct Shares {
    each: usize,
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Shares {
    /// So many for each tenant.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, tenants: Mutex::default() }
    }

    /// A tenant's part. That of a tenant which uses nothing of it is forgotten.
    pub(crate) fn of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, share| share.strong_count() > 0);
        if let Some(share) = tenants.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&share));
        share
    }
}
