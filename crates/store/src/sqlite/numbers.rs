//! The numbers that streams and tenants have in this file.

use std::collections::HashMap;

use event::{Catalog, StreamId};
use rusqlite::{OptionalExtension, Transaction};

use super::tenants;
use super::values::text;
use crate::StoreError;

/// The numbers of streams and tenants in this file, looked up once a commit. Not kept for the next one: a number that
/// was given in a commit which failed is given again, perhaps to another.
pub(super) struct Numbers<'a> {
    tx: &'a Transaction<'a>,
    pub(super) catalog: &'a Catalog,
    streams: HashMap<String, i64>,
    tenants: HashMap<Vec<u8>, i64>,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(tx: &'a Transaction<'a>, catalog: &'a Catalog) -> Self {
        Self { tx, catalog, streams: HashMap::new(), tenants: HashMap::new() }
    }

    /// The number of a stream by name; a new name gets one.
    pub(super) fn stream(&mut self, name: &str) -> Result<i64, StoreError> {
        match self.known_stream(name)? {
            Some(number) => Ok(number),
            None => {
                let number = give(self.tx, "streams", name.as_bytes())?;
                self.streams.insert(name.to_owned(), number);
                Ok(number)
            }
        }
    }

    pub(super) fn stream_of(&mut self, id: StreamId) -> Result<i64, StoreError> {
        let catalog = self.catalog;
        self.stream(&catalog.get(id).name)
    }

    /// The number of a tenant by name; a new name gets one.
    pub(super) fn tenant(&mut self, name: &[u8]) -> Result<i64, StoreError> {
        match self.known_tenant(name)? {
            Some(number) => Ok(number),
            None => {
                let number = give(self.tx, "tenants", name)?;
                self.tenants.insert(name.to_owned(), number);
                Ok(number)
            }
        }
    }

    /// The number of a stream that has one.
    pub(super) fn known_stream(&mut self, name: &str) -> Result<Option<i64>, StoreError> {
        if let Some(&number) = self.streams.get(name) {
            return Ok(Some(number));
        }
        let found = find(self.tx, "streams", name.as_bytes())?;
        self.streams.extend(found.map(|number| (name.to_owned(), number)));
        Ok(found)
    }

    /// The number of a tenant that has one. To ask for one makes none: a file that knows only the default tenant is
    /// laid out more simply.
    pub(super) fn known_tenant(&mut self, name: &[u8]) -> Result<Option<i64>, StoreError> {
        if name.is_empty() {
            return Ok(Some(tenants::DEFAULT));
        }
        if let Some(&number) = self.tenants.get(name) {
            return Ok(Some(number));
        }
        let found = find(self.tx, "tenants", name)?;
        self.tenants.extend(found.map(|number| (name.to_owned(), number)));
        Ok(found)
    }
}

fn find(tx: &Transaction<'_>, table: &str, name: &[u8]) -> Result<Option<i64>, StoreError> {
    let sql = format!("SELECT id FROM {table} WHERE name = ?1");
    Ok(tx.prepare_cached(&sql)?.query_row([text(name)], |row| row.get(0)).optional()?)
}

fn give(tx: &Transaction<'_>, table: &str, name: &[u8]) -> Result<i64, StoreError> {
    tx.execute(&format!("INSERT INTO {table} (name) VALUES (?1)"), [text(name)])?;
    Ok(tx.last_insert_rowid())
}
