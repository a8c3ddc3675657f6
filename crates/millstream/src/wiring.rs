//! Every part built in order, from the bottom up, and taken down in the opposite order. The one place that knows all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use collect::Intake;
use collect::grpc::Grpc;
use event::Catalog;
use log::disk::{DiskLog, DiskSettings};
use log::disk_port::RealDisk;
use log::{Clock, LogError, SystemClock};
use metrics_exporter_prometheus::PrometheusHandle;
use query::Query;
use store::Store;
use store::sqlite::{SqliteSettings, SqliteStore};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::alerting::Alerting;
use crate::config::{self, BadConfig, Settings};
use crate::desk::{Repairs, RepairsParts};
use crate::emitter::{self, Control};
use crate::figures::Figures;
use crate::in_force::InForce;
use crate::processing::{CONSUMER, Processing, Specs};
use crate::reload::{Load, Reloader};
use crate::routes::{self, DoorParts};
use crate::server::tls::Tls;
use crate::server::{Bounds, Server, Swap};
use crate::telemetry::VERSION;
use crate::{gauges, quotas, reload};

/// How long connections that answer no request may hold up the end.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// A product that runs.
pub(crate) struct App {
    /// What it did so far.
    pub(crate) figures: Arc<Figures>,
    processing: Arc<Processing>,
    alerting: Arc<Alerting>,
    reloader: Arc<Reloader>,
    repairs: Repairs,
    log: Arc<DiskLog>,
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

/// Builds and starts everything that the roles ask for. `load` reads the configuration again, for a reload.
///
/// # Errors
/// Whatever keeps a part from starting, with what can be done about it.
pub(crate) fn start(
    mut settings: Settings,
    doors: Doors,
    control: Option<Arc<Control>>,
    prometheus: PrometheusHandle,
    load: Load,
) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (roles, catalog, document) = (settings.roles, settings.catalog.clone(), config::show_marked(&settings));
    let tls = settings.access.tls.as_ref().map(|files| Tls::load(&files.cert, &files.key)).transpose()?;

    // The log first: it locks the folder, and everything else can be rebuilt from it.
    let log = open_log(&settings.data_dir, catalog.clone(), clock.clone())?;
    let store: Arc<dyn Store> = Arc::new(open_store(&settings.data_dir, catalog.clone())?);

    // The engine catches up with the log while the rest is built.
    let in_force = Arc::new(InForce::new(catalog.clone(), &settings.rules, &settings.windows));
    let (processing, alerting) = process(&mut settings, &log, &store, &clock)?;

    // The one intake behind all doors, whose counters are a part of every figure.
    let intake = roles.collect.then(|| Intake::new(catalog.clone(), log.clone(), clock.clone(), CONSUMER));
    let (work, told) = (processing.clone(), alerting.clone());
    let figures = Arc::new(Figures::new(log.clone(), intake.clone(), work, told, clock.clone(), prometheus));
    if let Some(intake) = &intake {
        quotas::put(intake, &settings.access, &catalog, &*store, clock.now());
        gauges::start(figures.clone(), intake);
    }

    // Repairs: dead letters sent again, the log run afresh.
    let repairs = RepairsParts { catalog: &catalog, log: &log, store: &store, clock: &clock, processing: &processing };
    let repairs = Repairs::start(repairs, &settings.data_dir, intake.as_ref())?;

    // Questions about all of it. Operators may always ask; clients where the role is.
    let query = questions(catalog.clone(), store.clone(), &in_force, &figures);
    let handle = reload::Handle::default();
    let parts = routes::Parts {
        query: roles.query.then(|| query::router(query.clone())),
        desk: roles.query.then(|| repairs.routes()),
        open: query::public_router(query.clone()),
        doors: intake.clone().map(|intake| door_parts(intake, &figures)),
        emitter: control.map(|control| emitter::router(control, clock.clone())),
        admin: query::admin_router(query.clone()),
        admin_open: query::probes_router(query),
        commands: reload::router(handle.clone()),
        admin_is_local: settings.admin.ip().is_loopback(),
    };
    let routes = parts.build(&settings.access, settings.collect)?;
    let (at_clients, at_admin) = (Swap::from(routes.clients), Swap::from(routes.admin));
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
        current: Mutex::new(document),
    });
    // It is the first and only one.
    let _ = handle.set(Arc::downgrade(&reloader));

    // The doors open last, when everything behind them stands.
    let admin = Server::start_with(doors.admin, at_admin, None, Bounds::admin())?;
    let clients = Server::start(doors.clients, at_clients, tls)?;
    Ok(App { figures, processing, alerting, reloader, repairs, log, clients, admin })
}

/// The engine, and the courier that tells others what it finds; both start where the role is.
fn process(
    settings: &mut Settings,
    log: &Arc<DiskLog>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<Processing>, Arc<Alerting>)> {
    let catalog = settings.catalog.clone();
    let alerting = Alerting::new(std::mem::take(&mut settings.alerts));
    let processing = Processing::new(catalog.clone(), log.clone(), store.clone(), clock.clone());
    let processing = processing.telling(alerting.alerts());
    if settings.roles.process {
        let specs =
            Specs { rules: std::mem::take(&mut settings.rules), windows: std::mem::take(&mut settings.windows) };
        processing.start(std::mem::take(&mut settings.programs), specs)?;
        alerting.start(catalog, log.clone(), store.clone(), clock.clone());
    }
    Ok((Arc::new(processing), Arc::new(alerting)))
}

/// Opens the log of a data folder, and makes the folder when it is not there.
///
/// # Errors
/// When another process has it, when a stream has another number of partitions there, or when the disk refuses.
pub(crate) fn open_log(data_dir: &Path, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<DiskLog>> {
    let dir = data_dir.join("log");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    match DiskLog::open(&dir, catalog, Arc::new(RealDisk), clock, DiskSettings::default()) {
        Ok(log) => Ok(Arc::new(log)),
        Err(LogError::Locked(path)) => {
            Err(anyhow::anyhow!("{path} is in use by another process: stop it, or use another --data-dir"))
        }
        Err(error @ LogError::Partitions { .. }) => Err(partitions(&error).into()),
        Err(error) => Err(error).context("cannot open the log"),
    }
}

fn partitions(error: &LogError) -> BadConfig {
    let (path, hint) = match error {
        LogError::Partitions { stream, on_disk, .. } => {
            (format!("streams.{stream}.partitions"), format!("write {on_disk}, or use another data folder"))
        }
        _ => (String::new(), String::new()),
    };
    BadConfig::one(&path, error.to_string(), hint)
}

/// Opens the store of a data folder that is there.
///
/// # Errors
/// When the file is not ours, or another process has it.
pub(crate) fn open_store(data_dir: &Path, catalog: Arc<Catalog>) -> anyhow::Result<SqliteStore> {
    let path = data_dir.join("store.sqlite");
    SqliteStore::open(&path, catalog, SqliteSettings::default())
        .with_context(|| format!("cannot open the store {}", path.display()))
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
    store: Arc<dyn Store>,
    in_force: &Arc<InForce>,
    figures: &Arc<Figures>,
) -> Arc<Query> {
    let (live, ready, prometheus) = (figures.clone(), figures.clone(), figures.clone());
    let (rules, windows, falls) = (in_force.clone(), in_force.clone(), in_force.clone());
    Arc::new(Query {
        catalog,
        store,
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
            self.alerting.stop().await;
            tokio::task::spawn_blocking(move || log.close()).await?;
            self.admin.close().await;
            stopped
        };
        let limited = tokio::time::timeout(limit, down).await;
        limited.unwrap_or_else(|_| anyhow::bail!("the drain took longer than {limit:?}; what is in the log is safe"))
    }
}
