//! Whose rows a caller may see: every question to the store and the log goes through here.

use api::Caller;
use event::headers;
use log::IdHasher;
use store::query::EventRow;

/// A caller's view of the tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope(Option<String>);

impl Scope {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self(caller.sees().map(str::to_owned))
    }

    /// Everybody's rows.
    pub(crate) fn all() -> Self {
        Self(None)
    }

    /// As the store's questions have it: the one tenant, or all.
    pub(crate) fn tenant(&self) -> Option<String> {
        self.0.clone()
    }

    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether the caller may see a row.
    pub(crate) fn lets_through(&self, row: &EventRow) -> bool {
        self.0.as_deref().is_none_or(|tenant| tenant.as_bytes() == tenant_bytes(row))
    }

    /// How the log hashed the caller's ids. Who sees all finds those of the default tenant in the log; the others' once
    /// they are in the store, moments later.
    pub(crate) fn id_hasher(&self, hasher: IdHasher) -> IdHasher {
        match self.0.as_deref() {
            Some(tenant) if !tenant.is_empty() => hasher.scoped(tenant.as_bytes()),
            _ => hasher,
        }
    }
}

/// Whose a row is: the name of a tenant, empty for the default one.
pub(crate) fn tenant_of(row: &EventRow) -> String {
    String::from_utf8_lossy(tenant_bytes(row)).into_owned()
}

fn tenant_bytes(row: &EventRow) -> &[u8] {
    headers::get(&row.headers, headers::TENANT).unwrap_or_default()
}
