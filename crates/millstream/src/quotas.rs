//! The limits of tenants put in force, with what they sent in the last day before.

use collect::Intake;
use collect::gate::Limits;
use event::{Catalog, Millis};
use store::Store;

use crate::config::Access;

const DAY_MS: Millis = 86_400_000;

/// Whether a limit begins with what the store has: only limits of a day do.
pub(crate) fn ask_store(access: &Access) -> bool {
    access.limits().iter().any(|(_, limit)| limit.events_per_day.is_some())
}

/// Puts the limits in force. A day's limit begins with what the store has of the last day, so that a restart does not
/// forgive it; without a store it begins at none.
pub(crate) fn put(intake: &Intake, access: &Access, catalog: &Catalog, store: Option<&dyn Store>, now: Millis) {
    let all = access.limits();
    let limits = Limits::new(all.iter().cloned());
    for (tenant, _) in all.iter().filter(|(tenant, _)| limits.counts_days(tenant)) {
        let Some(store) = store else {
            tracing::warn!(tenant, "there is no store to ask: what was sent before is not counted");
            continue;
        };
        let streams = catalog.iter().filter(|(_, stream)| !stream.name.starts_with('_'));
        let sent = streams.map(|(_, stream)| match store.summary(&stream.name, Some(tenant), now - DAY_MS) {
            Ok(summary) => summary.events + summary.dead_letters,
            Err(error) => {
                tracing::warn!(%error, tenant, stream = stream.name, "what was sent before is not counted");
                0
            }
        });
        limits.count_before(tenant, sent.sum());
    }
    intake.set_limits(limits);
}
