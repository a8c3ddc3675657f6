//! What a commit retracts, what rules found, what is to be told of it, and what became of that.

use std::collections::{HashMap, HashSet};

use event::{Alert, Anomaly, DeliveryChange, DeliveryStatus, Millis, WindowId};
use rusqlite::{Transaction, params};

use super::numbers::Numbers;
use super::values::{payload, to_sql};
use super::write_windows;
use crate::{Retract, StoreError};

/// An anomaly by what makes it unique: its stream's number, its tenant's number, its id.
type Name<'a> = (i64, i64, &'a str);

/// What a commit takes away: what it adds again is not new, but put in its place.
#[derive(Default)]
pub(super) struct Retracted<'a> {
    anomalies: HashSet<Name<'a>>,
    /// By the numbers of their rows.
    pub(super) windows: HashMap<&'a WindowId, i64>,
}

/// Takes away what the commit retracts. What is not there is passed over.
pub(super) fn retract<'a>(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    retract: &'a [Retract],
) -> Result<Retracted<'a>, StoreError> {
    let mut retracted = Retracted::default();
    for row in retract {
        match row {
            Retract::Anomaly { tenant, stream, id } => {
                let (Some(stream), Some(tenant)) =
                    (numbers.known_stream(stream)?, numbers.known_tenant(tenant.as_bytes())?)
                else {
                    continue;
                };
                let sql = "DELETE FROM anomalies WHERE stream = ?1 AND tenant = ?2 AND id = ?3";
                if tx.prepare_cached(sql)?.execute(params![stream, tenant, id])? > 0 {
                    retracted.anomalies.insert((stream, tenant, id));
                }
            }
            Retract::Window(id) => {
                retracted.windows.extend(write_windows::retract(tx, numbers, id)?.map(|n| (id, n)));
            }
        }
    }
    Ok(retracted)
}

/// Adds anomalies; gives those that were not there before the commit.
pub(super) fn add_anomalies<'a>(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    retracted: &Retracted<'_>,
    anomalies: &'a [Anomaly],
    now: Millis,
) -> Result<HashSet<Name<'a>>, StoreError> {
    let mut new = HashSet::new();
    for anomaly in anomalies {
        let stream = numbers.stream(&anomaly.stream)?;
        let tenant = numbers.tenant(anomaly.tenant.as_bytes())?;
        let added = tx
            .prepare_cached(
                "INSERT INTO anomalies (stream, tenant, id, rule, severity, part, off, key, time, received, stored,
                 description, metadata, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                 ON CONFLICT (stream, tenant, id) DO NOTHING",
            )?
            .execute(params![
                stream,
                tenant,
                anomaly.id,
                anomaly.rule,
                anomaly.severity.as_str(),
                anomaly.partition,
                to_sql(anomaly.offset)?,
                anomaly.key,
                anomaly.time,
                anomaly.received_at,
                now,
                anomaly.description,
                anomaly.metadata,
                payload(&anomaly.event),
            ])?;
        let name = (stream, tenant, anomaly.id.as_str());
        if added > 0 && !retracted.anomalies.contains(&name) {
            new.insert(name);
        }
    }
    Ok(new)
}

/// Puts alerts of new anomalies into the outbox; the others are passed over.
pub(super) fn add_alerts(
    tx: &Transaction<'_>,
    numbers: &mut Numbers<'_>,
    new: &HashSet<Name<'_>>,
    alerts: &[Alert],
    now: Millis,
) -> Result<(), StoreError> {
    for alert in alerts {
        let (Some(stream), Some(tenant)) =
            (numbers.known_stream(&alert.stream)?, numbers.known_tenant(alert.tenant.as_bytes())?)
        else {
            continue;
        };
        if !new.contains(&(stream, tenant, alert.anomaly.as_str())) {
            continue;
        }
        tx.prepare_cached(
            "INSERT INTO outbox (tenant, stream, target, id, anomaly, body, status, attempts, error, created, next_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, '', ?8, ?8)
             ON CONFLICT (tenant, stream, target, id) WHERE window IS NULL DO NOTHING",
        )?
        .execute(params![
            tenant,
            stream,
            alert.target,
            alert.id,
            alert.anomaly,
            alert.body,
            DeliveryStatus::Pending.as_str(),
            now,
        ])?;
    }
    Ok(())
}

/// Writes down what tries to deliver came to. What is not pending, or not there any more, takes nothing: a window's
/// entry that was put in anew meanwhile has another number, and is still to be told.
pub(super) fn note_deliveries(tx: &Transaction<'_>, deliveries: &[DeliveryChange]) -> Result<(), StoreError> {
    for change in deliveries {
        let done_at = (change.status != DeliveryStatus::Pending).then_some(change.at);
        tx.prepare_cached(
            "UPDATE outbox SET status = ?2, attempts = attempts + 1, error = ?3, next_at = ?4, done_at = ?5
             WHERE n = ?1 AND status = 'pending'",
        )?
        .execute(params![change.row, change.status.as_str(), change.error, change.next_at, done_at])?;
    }
    Ok(())
}
