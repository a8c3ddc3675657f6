//! Every part built in order, from the bottom up, and taken down in the opposite order. The one place that knows all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use cache::Cache;
use collect::Intake;
use collect::grpc::Grpc;
use event::{Ack, Catalog};
use log::kafka::Acks;
use log::{Clock, Log, SystemClock};
use metrics_exporter_prometheus::PrometheusHandle;
use query::Query;
use store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::alerting::Alerting;
use crate::backends::{self, Late};
use crate::config::{self, CacheBackend, LogBackend, Settings};
use crate::desk::{Repairs, RepairsParts};
use crate::emitter::{self, Control};
use crate::figures::Figures;
use crate::in_force::InForce;
use crate::leading::{Leading, LeadingParts};
use crate::processing::{CONSUMER, Processing, Specs};
use crate::reload::{Load, Reloader};
use crate::routes::{self, DoorParts};
use crate::server::tls::Tls;
use crate::server::{Bounds, Server, Swap};
use crate::telemetry::VERSION;
use crate::together::{self, Together};
use crate::{gauges, quotas, reload};

/// How long connections that answer no request may hold up the end.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// A product that runs.
pub(crate) struct App {
    /// What it did so far.
    pub(crate) figures: Arc<Figures>,
    processing: Arc<Processing>,
    leading: Leading,
    reloader: Arc<Reloader>,
    repairs: Arc<Repairs>,
    log: Arc<dyn Log>,
    clients: Server,
    admin: Server,
}

/// The two listeners, bound before anything else, so that a taken port is told before a log is opened.
pub(crate) struct Doors {
    clients: TcpListener,
    admin: TcpListener,
}

impl Doors {
    /// Binds both addresses.
    ///
    /// # Errors
    /// When an address is taken; with `or_free`, another port is taken instead.
    pub(crate) async fn bind(clients: SocketAddr, admin: SocketAddr, or_free: bool) -> anyhow::Result<Self> {
        let bind = async |address: SocketAddr| match TcpListener::bind(address).await {
            Err(error) if or_free && error.kind() == std::io::ErrorKind::AddrInUse => {
                TcpListener::bind((address.ip(), 0)).await.with_context(|| format!("cannot listen on {}", address.ip()))
            }
            bound => bound.with_context(|| format!("cannot listen on {address}")),
        };
        Ok(Self { clients: bind(clients).await?, admin: bind(admin).await? })
    }
}

/// The threads that doors and queries run on; the engine and the log bring their own.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(cores.max(2)).thread_name("door").enable_all().build().context("cannot start threads")
}

/// Waits a moment for what is still running, and ends it.
pub(crate) fn shut(runtime: Runtime) {
    runtime.shutdown_timeout(LAST_TASKS);
}

/// Builds and starts everything that the roles ask for. `load` reads the configuration again, for a reload. To be called
/// within the runtime; it blocks.
///
/// # Errors
/// Whatever keeps a part from starting, with what can be done about it.
pub(crate) fn start(
    settings: &Settings,
    doors: Doors,
    control: Option<Arc<Control>>,
    prometheus: PrometheusHandle,
    load: Load,
) -> anyhow::Result<App> {
    // Back ends wait for their servers, and some in a runtime of their own.
    tokio::task::block_in_place(|| open(settings, doors, control, prometheus, load))
}

fn open(
    settings: &Settings,
    doors: Doors,
    control: Option<Arc<Control>>,
    prometheus: PrometheusHandle,
    load: Load,
) -> anyhow::Result<App> {
    let tls = settings.access.tls.as_ref().map(|files| Tls::load(&files.cert, &files.key)).transpose()?;
    let house = House::build(settings, prometheus)?;
    let House { catalog, clock, in_force, figures, .. } = &house;
    let (repairs, leading) = house.repairs(settings);

    // Questions about all of it. Operators may always ask; clients where the role is.
    let (roles, intake) = (settings.roles, house.intake.clone());
    let query = questions(catalog.clone(), house.store.clone(), in_force, figures);
    let handle = reload::Handle::default();
    let parts = routes::Parts {
        query: roles.query.then(|| query::router(query.clone())),
        desk: (roles.query || roles.process).then(|| repairs.routes()),
        open: query::public_router(query.clone()),
        doors: intake.clone().map(|intake| door_parts(intake, figures)),
        emitter: control.map(|control| emitter::router(control, clock.clone())),
        admin: query::admin_router(query.clone()),
        admin_open: query::probes_router(query),
        commands: reload::router(handle.clone()),
        admin_is_local: settings.admin.ip().is_loopback(),
    };
    let routes = parts.build(&settings.access, settings.collect)?;
    let (at_clients, at_admin) = (Swap::from(routes.clients), Swap::from(routes.admin));
    let House { catalog, clock, log, store, in_force, processing, figures, .. } = house;
    let reloader = Arc::new(Reloader {
        load,
        parts,
        clients: at_clients.clone(),
        admin: at_admin.clone(),
        intake,
        processing: processing.clone(),
        tls: tls.clone(),
        in_force,
        catalog,
        store,
        clock,
        current: Mutex::new(config::show_marked(settings)),
    });
    // It is the first and only one.
    let _ = handle.set(Arc::downgrade(&reloader));

    // The doors open last, when everything behind them stands.
    let admin = Server::start_with(doors.admin, at_admin, None, Bounds::admin())?;
    let clients = Server::start(doors.clients, at_clients, tls)?;
    Ok(App { figures, processing, leading, reloader, repairs, log, clients, admin })
}

/// What stands behind the doors.
struct House {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    log: Arc<dyn Log>,
    store: Option<Arc<dyn Store>>,
    in_force: Arc<InForce>,
    alerting: Arc<Alerting>,
    processing: Arc<Processing>,
    intake: Option<Arc<Intake>>,
    figures: Arc<Figures>,
}

impl House {
    fn build(settings: &Settings, prometheus: PrometheusHandle) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (roles, catalog) = (settings.roles, settings.catalog.clone());

        // The log first: it locks its folder, and everything else can be rebuilt from it.
        let log = backends::open_log(settings, clock.clone())?;
        let store = store(settings, &clock)?;
        let cache = backends::open_cache(settings, clock.clone())?;

        // The engine catches up with the log while the rest is built.
        let in_force = Arc::new(InForce::new(catalog.clone(), &settings.rules, &settings.windows));
        let alerting = Arc::new(Alerting::new(settings.alerts.clone()));
        let (rows, alerts) = (store.clone().unwrap_or_else(|| Arc::new(Late::never())), alerting.alerts());
        let processing =
            Processing::new(catalog.clone(), log.clone(), rows, clock.clone(), alerts, settings.backends.store.lanes());
        if roles.process {
            processing.start(Specs { rules: settings.rules.clone(), windows: settings.windows.clone() })?;
        }

        // The one intake behind all doors, whose counters are a part of every figure.
        let intake = roles.collect.then(|| intake(settings, &log, &clock));
        let name = uuid::Uuid::now_v7().simple().to_string();
        let about = (Together::new(&*cache, &name, clock.clone()), settings.backends.spool.age_max_ms);
        let (work, told) = (processing.clone(), alerting.clone());
        let figures = Arc::new(Figures::new(log.clone(), intake.clone(), work, told, clock.clone(), prometheus, about));
        tell(&figures, settings, store.as_ref(), cache, name);
        if let Some(intake) = &intake {
            quotas::put(intake, &settings.access, &catalog, store.as_deref(), clock.now());
            gauges::start(figures.clone(), intake);
        }
        Ok(Self { catalog, clock, log, store, in_force, alerting, processing, intake, figures })
    }

    /// Repairs: dead letters sent again, the log run afresh; and what one process of all does. Letters go back to a log that
    /// all share from wherever they are looked at.
    fn repairs(&self, settings: &Settings) -> (Arc<Repairs>, Leading) {
        let Self { catalog, clock, log, processing, .. } = self;
        let store: Arc<dyn Store> = self.store.clone().unwrap_or_else(|| Arc::new(Late::never()));
        let shared = settings.backends.are_shared() && (settings.roles.process || settings.roles.query);
        let sender = self.intake.clone().or_else(|| shared.then(|| intake(settings, log, clock)));
        let parts = RepairsParts { catalog, log, store: &store, clock, processing };
        let repairs = Repairs::new(parts, &settings.data_dir, sender.as_ref());
        let leading = LeadingParts {
            catalog: catalog.clone(),
            log: log.clone(),
            store,
            clock: clock.clone(),
            alerting: self.alerting.clone(),
            repairs: repairs.clone(),
        };
        (repairs, Leading::start(leading, processing))
    }
}

/// The store, where this process needs one: who only takes events in asks it once for what tenants sent today, if at all,
/// and goes on without.
fn store(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Arc<dyn Store>>> {
    if settings.roles.process || settings.roles.query {
        return backends::store_to_serve(settings, clock).map(Some);
    }
    if !quotas::ask_store(&settings.access) {
        return Ok(None);
    }
    Ok(backends::open_store(settings)
        .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "the store is not asked for today's events"))
        .ok())
}

/// An intake over the log.
fn intake(settings: &Settings, log: &Arc<dyn Log>, clock: &Arc<dyn Clock>) -> Arc<Intake> {
    let strongest = match &settings.backends.log {
        // Not all replicas have it then: a broker that dies may take it along.
        LogBackend::Kafka(kafka) if kafka.acks == Acks::Leader => Ack::Memory,
        _ => Ack::Durable,
    };
    Intake::over(settings.catalog.clone(), log.clone(), clock.clone(), CONSUMER, strongest)
}

/// This process's figures for the others, and for itself the lag of all, where there may be others.
fn tell(
    figures: &Arc<Figures>,
    settings: &Settings,
    store: Option<&Arc<dyn Store>>,
    cache: Arc<dyn Cache>,
    name: String,
) {
    if settings.backends.cache != CacheBackend::Memory {
        together::tell(figures, cache, name);
    }
    if let Some(store) = store.filter(|_| settings.roles.query && settings.backends.are_shared()) {
        together::measure_lag(figures, settings.catalog.clone(), store.clone());
    }
}

/// The doors' view of the rest.
fn door_parts(intake: Arc<Intake>, figures: &Arc<Figures>) -> DoorParts {
    let (hindrance, ready) = (figures.clone(), figures.clone());
    let ready = Arc::new(move || ready.ready().ready);
    let grpc = Grpc { intake: intake.clone(), ready, closing: figures.draining.subscribe() };
    DoorParts { intake, hindrance: Arc::new(move || hindrance.hindrance()), grpc }
}

fn questions(
    catalog: Arc<Catalog>,
    store: Option<Arc<dyn Store>>,
    in_force: &Arc<InForce>,
    figures: &Arc<Figures>,
) -> Arc<Query> {
    let (live, ready, prometheus) = (figures.clone(), figures.clone(), figures.clone());
    let (rules, windows, falls) = (in_force.clone(), in_force.clone(), in_force.clone());
    Arc::new(Query {
        catalog,
        has_store: store.is_some(),
        store: store.unwrap_or_else(|| Arc::new(Late::never())),
        log: figures.log.clone(),
        clock: figures.clock.clone(),
        rules: Arc::new(move || rules.rules()),
        windows: Arc::new(move || windows.windows()),
        windows_of: Arc::new(move |row| falls.windows_of(row)),
        live: Arc::new(move || live.live()),
        ready: Arc::new(move || ready.ready()),
        prometheus: Arc::new(move || prometheus.prometheus()),
        version: VERSION,
    })
}

impl App {
    /// Whether clients must speak TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.reloader.tls.is_some()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.clients.address()
    }

    /// Where the operator connects.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Lets the engine commit everything that is in the log now, and waits for it.
    ///
    /// # Errors
    /// When the engine failed.
    pub(crate) async fn catch_up(&self) -> anyhow::Result<()> {
        let processing = self.processing.clone();
        tokio::task::spawn_blocking(move || processing.catch_up()).await?
    }

    /// Puts the configuration in force that stands in the file now, beside everything else: the next signal is heard
    /// meanwhile. What became of it is told in the log.
    pub(crate) fn reload(&self) {
        let reloader = self.reloader.clone();
        drop(tokio::task::spawn_blocking(move || reloader.reload()));
    }

    /// Takes everything down: readiness first, so that nobody sends more; then the intake, so that everything
    /// accepted is answered; then the engine with its batch in hand; then the courier; then the log; the operator's door
    /// last.
    ///
    /// # Errors
    /// When it takes longer than the limit, or the engine had failed. Nothing acknowledged is lost either way.
    pub(crate) async fn drain(self, limit: Duration) -> anyhow::Result<()> {
        self.figures.draining.send_replace(true);
        let down = async {
            self.clients.close().await;
            let (processing, log, repairs) = (self.processing, self.log, self.repairs);
            let stopped = tokio::task::spawn_blocking(move || {
                repairs.stop();
                processing.stop()
            });
            let stopped = stopped.await?;
            self.leading.stop().await;
            tokio::task::spawn_blocking(move || log.close()).await?;
            self.admin.close().await;
            stopped
        };
        let limited = tokio::time::timeout(limit, down).await;
        limited.unwrap_or_else(|_| anyhow::bail!("the drain took longer than {limit:?}; what is in the log is safe"))
    }
}
