//! What a commit retracts, what rules found, what is to be told of it, what became of that, and the state of the rules.
//! Many rows go in one statement: a round trip for each would cost more than the row.

use std::collections::{HashMap, HashSet};

use event::{Alert, Anomaly, DeliveryChange, DeliveryStatus, Millis, WindowId};

use super::fault::Fault;
use super::parts::{Column, parts};
use super::pool::Tx;
use super::text::{payload, to_sql, to_string, to_text};
use super::write_windows;
use crate::{Retract, Snapshot};

/// An anomaly by what makes it unique: its stream, its tenant, its id.
type Name = (String, String, String);

/// What a commit takes away: what it adds again is not new, but put in its place.
#[derive(Default)]
pub(super) struct Retracted<'a> {
    anomalies: HashSet<Name>,
    /// By the numbers of their rows.
    pub(super) windows: HashMap<&'a WindowId, i64>,
}

/// Takes away what the commit retracts. What is not there is passed over.
pub(super) fn retract<'a>(tx: &mut Tx<'_>, retract: &'a [Retract]) -> Result<Retracted<'a>, Fault> {
    let mut retracted = Retracted::default();
    let anomalies: Vec<_> = retract
        .iter()
        .filter_map(|row| match row {
            Retract::Anomaly { tenant, stream, id } => Some((stream, tenant, id)),
            Retract::Window(_) => None,
        })
        .collect();
    for part in parts(&anomalies, |(_, _, id)| id.len()) {
        let column = |of: fn(&(&'a String, &'a String, &'a String)) -> &'a String| -> Column<'a> {
            part.iter().map(|row| to_text(of(row).as_bytes())).collect()
        };
        let sql = "DELETE FROM anomaly a USING unnest($1::text[], $2::text[], $3::text[]) AS r (stream, tenant, id)
            WHERE a.stream = r.stream AND a.tenant = r.tenant AND a.id = r.id RETURNING a.stream, a.tenant, a.id";
        let rows = tx.query(sql, &[&column(|row| row.0), &column(|row| row.1), &column(|row| row.2)])?;
        retracted.anomalies.extend(names(&rows)?);
    }
    let windows: Vec<_> = retract
        .iter()
        .filter_map(|row| match row {
            Retract::Window(id) => Some(id),
            Retract::Anomaly { .. } => None,
        })
        .collect();
    retracted.windows = write_windows::retract(tx, &windows)?;
    Ok(retracted)
}

fn names(rows: &[postgres::Row]) -> Result<Vec<Name>, Fault> {
    let text = |row: &postgres::Row, at: usize| -> Result<String, Fault> { Ok(to_string(row.try_get(at)?)) };
    rows.iter().map(|row| Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?))).collect()
}

/// Adds anomalies; gives those that were not there before the commit.
pub(super) fn add_anomalies(
    tx: &mut Tx<'_>,
    retracted: &Retracted<'_>,
    anomalies: &[Anomaly],
    now: Millis,
) -> Result<HashSet<Name>, Fault> {
    let mut new = HashSet::new();
    for part in parts(anomalies, |row| row.event.len() + row.metadata.len() + row.description.len()) {
        let text =
            |of: fn(&Anomaly) -> &str| -> Column<'_> { part.iter().map(|row| to_text(of(row).as_bytes())).collect() };
        let number = |of: fn(&Anomaly) -> Millis| -> Vec<Millis> { part.iter().map(of).collect() };
        let partitions: Vec<i32> = part.iter().map(|row| row.partition as i32).collect();
        let offsets = part.iter().map(|row| to_sql(row.offset)).collect::<Result<Vec<_>, _>>()?;
        let (data, raw): (Vec<_>, Vec<_>) = part.iter().map(|row| payload(&row.event)).unzip();
        let sql = "INSERT INTO anomaly (stream, tenant, id, rule, severity, partition, \"offset\", key, event_time,
              received_at, stored_at, description, metadata, data, data_raw)
            SELECT a.stream, a.tenant, a.id, a.rule, a.severity, a.partition, a.at_offset, a.key, a.event_time,
              a.received_at, $14, a.description, a.metadata, a.data, a.data_raw
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::text[],
              $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $15::bytea[]) WITH ORDINALITY
              AS a (stream, tenant, id, rule, severity, partition, at_offset, key, event_time, received_at, description,
              metadata, data, data_raw, at) ORDER BY a.at
            ON CONFLICT (stream, tenant, id) DO NOTHING RETURNING stream, tenant, id";
        let added = tx.query(
            sql,
            &[
                &text(|row| &row.stream),
                &text(|row| &row.tenant),
                &text(|row| &row.id),
                &text(|row| &row.rule),
                &text(|row| row.severity.as_str()),
                &partitions,
                &offsets,
                &text(|row| &row.key),
                &number(|row| row.time),
                &number(|row| row.received_at),
                &text(|row| &row.description),
                &text(|row| &row.metadata),
                &data,
                &now,
                &raw,
            ],
        )?;
        new.extend(names(&added)?.into_iter().filter(|name| !retracted.anomalies.contains(name)));
    }
    Ok(new)
}

/// Puts alerts of new anomalies into the outbox; the others are passed over.
pub(super) fn add_alerts(tx: &mut Tx<'_>, new: &HashSet<Name>, alerts: &[Alert], now: Millis) -> Result<(), Fault> {
    let is_new = |alert: &&Alert| new.contains(&(alert.stream.clone(), alert.tenant.clone(), alert.anomaly.clone()));
    let alerts: Vec<_> = alerts.iter().filter(is_new).collect();
    for part in parts(&alerts, |alert| alert.body.len()) {
        let text =
            |of: fn(&Alert) -> &str| -> Column<'_> { part.iter().map(|row| to_text(of(row).as_bytes())).collect() };
        let sql =
            "INSERT INTO outbox (tenant, stream, target, id, anomaly, body, status, attempts, error, created, next_at)
            SELECT a.tenant, a.stream, a.target, a.id, a.anomaly, a.body, $7, 0, '', $8, $8
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
              AS a (tenant, stream, target, id, anomaly, body, at) ORDER BY a.at
            ON CONFLICT (tenant, stream, target, id) WHERE window_n IS NULL DO NOTHING";
        tx.execute(
            sql,
            &[
                &text(|row| &row.tenant),
                &text(|row| &row.stream),
                &text(|row| &row.target),
                &text(|row| &row.id),
                &text(|row| &row.anomaly),
                &text(|row| &row.body),
                &DeliveryStatus::Pending.as_str(),
                &now,
            ],
        )?;
    }
    Ok(())
}

/// Writes down what tries to deliver came to. What is not pending, or not there any more, takes nothing: a window's
/// entry that was put in anew meanwhile has another number, and is still to be told.
pub(super) fn note_deliveries(tx: &mut Tx<'_>, deliveries: &[DeliveryChange]) -> Result<(), Fault> {
    for change in deliveries {
        let done_at = (change.status != DeliveryStatus::Pending).then_some(change.at);
        let sql = "UPDATE outbox SET status = $2, attempts = attempts + 1, error = $3, next_at = $4, done_at = $5
            WHERE n = $1 AND status = 'pending'";
        let (status, error) = (change.status.as_str(), to_text(change.error.as_bytes()));
        tx.execute(sql, &[&change.row, &status, &error, &change.next_at, &done_at])?;
    }
    Ok(())
}

/// Replaces the state of the rules over partitions.
pub(super) fn replace_snapshots(tx: &mut Tx<'_>, snapshots: &[Snapshot]) -> Result<(), Fault> {
    let mut sorted: Vec<_> = snapshots.iter().collect();
    // Stable: of two of one partition the last one counts.
    sorted.sort_by(|a, b| (&a.position.stream, a.position.partition).cmp(&(&b.position.stream, b.position.partition)));
    for Snapshot { position, state } in sorted {
        let sql = "INSERT INTO snapshots (stream, partition, \"offset\", state) VALUES ($1, $2, $3, $4)
            ON CONFLICT (stream, partition) DO UPDATE SET \"offset\" = excluded.\"offset\", state = excluded.state";
        let offset = to_sql(position.offset)?;
        tx.execute(sql, &[&position.stream, &(position.partition as i32), &offset, state])?;
    }
    Ok(())
}
