//! Which routes there are, and which key each asks for. Built whole from parts that stay and settings that change, so that
//! a reload either has all of it or nothing.

use std::sync::Arc;

use anyhow::Context;
use api::keys::{Guard, Keys, Need};
use axum::Router;
use collect::gate::{self, Limit};
use collect::grpc::Grpc;
use collect::{CollectorSettings, Hindrance, Intake};

use crate::config::Access;
use crate::server::cors;
use crate::{desk, docs};

/// What routes are made of.
pub(crate) struct Parts {
    /// The read side, when the role is there.
    pub(crate) query: Option<Router>,
    /// Dead letters and replays, when the role `query` is there.
    pub(crate) desk: Option<desk::Routes>,
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
        if let Some(desk) = &self.desk {
            clients = clients
                .merge(guard(Need::Read, desk.read.clone()))
                .merge(guard(Need::Repair, desk.repair.clone()))
                .merge(guard(Need::Operate, desk.operate.clone()))
                .merge(guard(Need::Command, desk.command.clone()));
        }
        if let Some(DoorParts { intake, hindrance, grpc }) = &self.doors {
            let limits = access.limits().iter().any(|(_, limit)| *limit != Limit::default());
            let limited = |doors| if limits { gate::around(doors, intake.clone()) } else { doors };
            let collector = collect::collector(intake.clone(), collect, hindrance.clone());
            let collector = collector.context("the collector cannot start")?;
            let doors =
                collect::router(intake.clone()).merge(collector.doors).merge(collect::grpc::router(grpc.clone()));
            clients = clients
                .merge(guard(Need::Write, limited(doors)))
                .merge(collect::grpc::open_router(grpc.clone()))
                .merge(guard(Need::Operate, collector.figures))
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
