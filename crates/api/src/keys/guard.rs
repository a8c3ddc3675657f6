//! The guard in front of a router: no key or an unknown one is a 401, one that does not allow it a 403.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::presented::{Presented, presented};
use super::{Keys, Role};
use crate::{ApiError, Caller};

/// What a route asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Sending events.
    Write,
    /// Reading.
    Read,
    /// Changing what became of one's events: an admin's key.
    Repair,
    /// What is the operator's: a key without a tenant that may read.
    Operate,
    /// What changes the process: an admin's key without a tenant.
    Command,
}

impl Need {
    fn is_met_by(self, role: Role, has_tenant: bool) -> bool {
        match self {
            Self::Write => role != Role::Read,
            Self::Read => role != Role::Write,
            Self::Repair => role == Role::Admin,
            Self::Operate => role != Role::Write && !has_tenant,
            Self::Command => role == Role::Admin && !has_tenant,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Write => "a write or admin key",
            Self::Read => "a read or admin key",
            Self::Repair => "an admin key",
            Self::Operate => "a read or admin key without a tenant",
            Self::Command => "an admin key without a tenant",
        }
    }
}

/// The keys in front of some routes. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Guard {
    keys: Arc<Keys>,
    need: Need,
}

impl Guard {
    /// Asks for keys; for none when there are none.
    pub fn new(keys: Arc<Keys>, need: Need) -> Self {
        Self { keys, need }
    }

    /// Puts itself in front of all routes of a router: what comes through carries its [`Caller`].
    pub fn around(self, router: Router) -> Router {
        // Without keys everybody is who they are without asking.
        if self.keys.is_empty() { router } else { router.route_layer(from_fn_with_state(self, enter)) }
    }

    fn caller(&self, request: &Request) -> Result<Caller, ApiError> {
        let refused = |code, message: &str| ApiError::new(StatusCode::UNAUTHORIZED, code, message);
        let known = match presented(request.headers()) {
            Presented::Key(key) => self.keys.find(&key),
            Presented::Nothing => {
                let message = "a key is needed: `Authorization: Bearer <key>` or `X-API-Key: <key>`";
                return Err(refused("missing_key", message));
            }
            Presented::Unreadable(message) => return Err(refused("invalid_key", message)),
        };
        let key = known.ok_or_else(|| refused("invalid_key", "the key is not known"))?;
        if !self.need.is_met_by(key.role, key.tenant.is_some()) {
            let (name, role, expected) = (&key.name, key.role.as_str(), self.need.expected());
            let message = format!("the key `{name}` is a {role} key; expected {expected}");
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        Ok(key.caller())
    }
}

async fn enter(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.caller(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            let ask = error.status() == StatusCode::UNAUTHORIZED;
            let mut response = error.into_response();
            if ask {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"millstream\""));
            }
            response
        }
    }
}
