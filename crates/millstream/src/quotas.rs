//! The limits of tenants put in force, with what they sent in the last day before.

use collect::Intake;
use collect::gate::Limits;
use event::{Catalog, Millis};
use store::Store;

use crate::config::Access;

const DAY_MS: Millis = 86_400_000;

/// Puts the limits in force. A day's limit begins with what the store has of the last day, so that a restart does not
/// forgive it.
pub(crate) fn put(intake: &Intake, access: &Access, catalog: &Catalog, store: &dyn Store, now: Millis) {
    let all = access.limits();
    let limits = Limits::new(all.iter().cloned());
    for (tenant, _) in all.iter().filter(|(tenant, _)| limits.counts_days(tenant)) {
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
