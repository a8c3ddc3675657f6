//! Which definitions of windows a table has rows of: a walk over its index from one to the next, a look-up each.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::StoreError;

/// A window of one length, of one stream and tenant: its rows lie beside each other in the index, newest start first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) tenant: i64,
    pub(super) stream: i64,
    pub(super) window: String,
    pub(super) size: i64,
}

/// Calls `each` for all definitions that `table` has rows of, of one tenant or of all.
pub(super) fn each(
    tx: &Transaction<'_>,
    table: &str,
    tenant: Option<i64>,
    mut each: impl FnMut(Definition) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT tenant, stream, window, size FROM {table} WHERE (tenant, stream, window, size) >= (?1, ?2, ?3, ?4)
         AND tenant <= ?5 ORDER BY tenant, stream, window, size LIMIT 1"
    ))?;
    let last_tenant = tenant.unwrap_or(i64::MAX);
    let mut at =
        Definition { tenant: tenant.unwrap_or(i64::MIN), stream: i64::MIN, window: String::new(), size: i64::MIN };
    loop {
        let next = statement
            .query_row(params![at.tenant, at.stream, at.window, at.size, last_tenant], |row| {
                Ok(Definition { tenant: row.get(0)?, stream: row.get(1)?, window: row.get(2)?, size: row.get(3)? })
            })
            .optional()?;
        let Some(next) = next else { return Ok(()) };
        // The first place behind it. With `>` SQLite would walk through all rows of the definition.
        at = match next.size.checked_add(1) {
            Some(size) => Definition { size, ..next.clone() },
            None => Definition { window: format!("{}\0", next.window), size: i64::MIN, ..next.clone() },
        };
        each(next)?;
    }
}
