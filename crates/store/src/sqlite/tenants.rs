//! Tenants: which of them a question is about, and which of them a chunk has rows of.

use rusqlite::{OptionalExtension, Transaction};

use super::chunks::Chunk;
use crate::StoreError;

/// The number of the default tenant.
pub(super) const DEFAULT: i64 = 0;

/// Tenants up to which a question about all of them is answered tenant by tenant; with more, a chunk is read and sorted.
const MERGED: usize = 32;

/// All tenants, as a condition that still leads to an index that begins with the tenant: one look-up a tenant.
const ALL: &str = "tenant IN (SELECT id FROM tenants)";

/// Whether the file knows any tenant but the default one.
pub(super) fn any(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("SELECT max(id) > 0 FROM tenants")?.query_row([], |row| row.get(0))?)
}

/// Whose rows a question is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// One tenant's; `None` for those of all.
    only: Option<i64>,
}

impl Scope {
    /// `None` when the file has no tenant of this name.
    pub(super) fn of(tx: &Transaction<'_>, tenant: Option<&str>) -> Result<Option<Self>, StoreError> {
        Ok(match tenant {
            // While there is nobody else, all are the default tenant, and one tenant is asked for by index.
            None => Some(Self { only: (!any(tx)?).then_some(DEFAULT) }),
            Some("") => Some(Self { only: Some(DEFAULT) }),
            Some(name) => {
                let find = "SELECT id FROM tenants WHERE name = ?1";
                let found: Option<i64> = tx.prepare_cached(find)?.query_row([name], |row| row.get(0)).optional()?;
                found.map(|number| Self { only: Some(number) })
            }
        })
    }

    /// The one tenant that it is, if it is one.
    pub(super) fn tenant(self) -> Option<i64> {
        self.only
    }

    /// Which rows of a chunk are in scope; `None` when it can have none of them.
    pub(super) fn within(self, chunk: &Chunk) -> Option<Whose> {
        match self.only {
            _ if chunk.tenants => Some(self.only.map_or(Whose::All, Whose::One)),
            None | Some(DEFAULT) => Some(Whose::Default),
            Some(_) => None,
        }
    }

    /// The scope as a condition that leads to an index which begins with the tenant.
    pub(super) fn lead(self) -> String {
        self.only.map_or_else(|| ALL.to_owned(), |tenant| format!("tenant = {tenant}"))
    }

    /// The same, or nothing when all rows are in scope and no other condition needs the index (`by_column`).
    pub(super) fn term(self, by_column: bool) -> Option<String> {
        (by_column || self.only.is_some()).then(|| self.lead())
    }
}

/// Which rows of one chunk are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// All of a chunk that has no column for the tenant.
    Default,
    /// Those of one tenant, in a chunk with tenants.
    One(i64),
    /// All of a chunk with tenants.
    All,
}

impl Whose {
    /// As a condition over the chunk's table, where another one needs the index (`by_column`) or not.
    pub(super) fn term(self, by_column: bool) -> Option<String> {
        (self != Self::Default).then(|| self.scope().term(by_column)).flatten()
    }

    /// As a condition over the counts of sealed chunks.
    pub(super) fn counts_term(self) -> String {
        self.scope().lead()
    }

    fn scope(self) -> Scope {
        Scope {
            only: match self {
                Self::Default => Some(DEFAULT),
                Self::One(tenant) => Some(tenant),
                Self::All => None,
            },
        }
    }

    /// The same rows of an indexed chunk in parts, each of one tenant: only these lie in an index in order. `None` when
    /// there are too many.
    pub(super) fn split(self, tx: &Transaction<'_>, chunk: &Chunk) -> Result<Option<Vec<Self>>, StoreError> {
        if self != Self::All {
            return Ok(Some(vec![self]));
        }
        // A walk over the index from one tenant to the next: one look-up a tenant.
        let sql = format!(
            "WITH RECURSIVE found (t) AS (SELECT min(tenant) FROM events_{n}
               UNION ALL SELECT (SELECT min(tenant) FROM events_{n} WHERE tenant > t) FROM found WHERE t IS NOT NULL
               LIMIT {limit}) SELECT t FROM found WHERE t IS NOT NULL",
            n = chunk.n,
            limit = MERGED + 1,
        );
        let mut statement = tx.prepare_cached(&sql)?;
        let parts = statement.query_map([], |row| row.get(0).map(Self::One))?.collect::<Result<Vec<_>, _>>()?;
        Ok((parts.len() <= MERGED).then_some(parts))
    }
}
