//! Who asks: whose events a request writes and sees. The keys decide it; handlers only read it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

/// Who asks, an extension of every request that passed the keys. As an extractor it never fails: where no keys are
/// asked for, it is [`Caller::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    tenant: Arc<str>,
    sees_all: bool,
}

impl Caller {
    /// Anybody, where there are no keys; and who has a key without a tenant: writes for the default tenant, sees all.
    pub fn open() -> Self {
        Self { tenant: Arc::default(), sees_all: true }
    }

    /// Who has a key of this tenant: writes and sees what is the tenant's, nothing else.
    pub fn of(tenant: Arc<str>) -> Self {
        Self { tenant, sees_all: false }
    }

    /// The caller of a request.
    pub fn from_extensions(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(Self::open)
    }

    /// Whose the events are that are sent: the name of a tenant, empty for the default one.
    pub fn writes_as(&self) -> &str {
        &self.tenant
    }

    /// Whose events may be read; `None` for everybody's.
    pub fn sees(&self) -> Option<&str> {
        (!self.sees_all).then_some(&*self.tenant)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_extensions(&parts.extensions))
    }
}
