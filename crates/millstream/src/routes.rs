//! Which routes there are, and which key each asks for. Built whole from parts that stay and settings that change, so that
//! a reload either has all of it or nothing.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context;
use api::keys::{Guard, Keys, Need};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use collect::grpc::Grpc;
use collect::{CollectorSettings, Hindrance, Intake, gate};
use tower::ServiceExt;

use crate::config::Access;
use crate::docs;
use crate::server::cors;

/// What routes are made of.
pub(crate) struct Parts {
    /// The read side, when the role is there.
    pub(crate) query: Option<Router>,
    /// What is open to all.
    pub(crate) open: Router,
    /// The doors, when the role is there.
    pub(crate) doors: Option<DoorParts>,
    /// The load generator's, when it runs.
    pub(crate) emitter: Option<Router>,
    /// The operator's.
    pub(crate) admin: Router,
    /// What changes the process, at the operator's port.
    pub(crate) commands: Router,
    /// What is open to all at the operator's port.
    pub(crate) admin_open: Router,
    /// Whether only this machine reaches the operator's port: then nobody is asked for a key there.
    pub(crate) admin_is_local: bool,
}

/// What the doors are made of.
pub(crate) struct DoorParts {
    pub(crate) intake: Arc<Intake>,
    pub(crate) hindrance: Hindrance,
    pub(crate) grpc: Grpc,
}

/// The routers of both ports.
pub(crate) struct Routes {
    pub(crate) clients: Router,
    pub(crate) admin: Router,
}

impl Parts {
    /// Puts everything together.
    ///
    /// # Errors
    /// When a part cannot be made with these settings.
    pub(crate) fn build(&self, access: &Access, collect: CollectorSettings) -> anyhow::Result<Routes> {
        let keys = Arc::new(Keys::new(access.keys.clone()));
        let guard = |need, router| Guard::new(keys.clone(), need).around(router);
        let mut clients = docs::router().merge(self.open.clone());
        if let Some(query) = &self.query {
            clients = clients.merge(guard(Need::Read, query.clone()));
        }
        if let Some(DoorParts { intake, hindrance, grpc }) = &self.doors {
            let collector = collect::collector(intake.clone(), collect, hindrance.clone());
            let collector = collector.context("the collector cannot start")?;
            let doors =
                collect::router(intake.clone()).merge(collector.doors).merge(collect::grpc::router(grpc.clone()));
            clients = clients
                .merge(guard(Need::Write, gate::around(doors, intake.clone())))
                .merge(collect::grpc::open_router(grpc.clone()))
                .merge(guard(Need::Read, collector.figures))
                .merge(collector.open);
        }
        if let Some(emitter) = &self.emitter {
            clients = clients.merge(guard(Need::Command, emitter.clone()));
        }
        let operator =
            |need, router: &Router| if self.admin_is_local { router.clone() } else { guard(need, router.clone()) };
        let admin = operator(Need::Operate, &self.admin)
            .merge(operator(Need::Command, &self.commands))
            .merge(self.admin_open.clone());
        let (mut clients, admin) = (api::with_manners(clients), api::with_manners(admin));
        if !access.cors.is_empty() {
            // Outside of the keys: a browser asks whether it may ask before it shows one.
            clients = clients.layer(cors::layer(&access.cors)?);
        }
        Ok(Routes { clients, admin })
    }
}

/// A router that another one can take the place of while requests come; those under way end where they began.
#[derive(Clone)]
pub(crate) struct Swap(Arc<ArcSwap<Router>>);

impl Swap {
    /// Begins with this one.
    pub(crate) fn new(router: Router) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(router)))
    }

    /// Puts another in its place.
    pub(crate) fn put(&self, router: Router) {
        self.0.store(Arc::new(router));
    }

    /// As a router for a listener.
    pub(crate) fn router(&self) -> Router {
        let current = self.0.clone();
        let answer = move |request: Request| {
            let router = Router::clone(&current.load());
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
        };
        Router::new().fallback_service(tower::service_fn(answer))
    }
}
