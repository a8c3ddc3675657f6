//! Every part built in order, from the bottom up, and taken down in the opposite order. The one place that knows all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use collect::Intake;
use collect::grpc::Grpc;
use engine::{Command, Engine, Parts};
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
use tokio::sync::watch;

use crate::config::{BadConfig, Settings};
use crate::emitter::{self, Control};
use crate::figures::Figures;
use crate::server::Server;
use crate::telemetry::VERSION;
use crate::{docs, telemetry};

/// The engine's name in the log and the store. One engine a process, and one name for all of them: a second process on
/// the same store is fenced off.
pub(crate) const CONSUMER: &str = "engine";

/// How long connections that answer no request may hold up the end.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// A product that runs.
pub(crate) struct App {
    /// What it did so far.
    pub(crate) figures: Arc<Figures>,
    engine: Arc<Mutex<Option<Engine>>>,
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

/// Builds and starts everything that the roles ask for.
///
/// # Errors
/// Whatever keeps a part from starting, with what can be done about it.
pub(crate) fn start(
    settings: Settings,
    doors: Doors,
    control: Option<Arc<Control>>,
    prometheus: PrometheusHandle,
) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (roles, catalog) = (settings.roles, settings.catalog);

    // The log first: it locks the folder, and everything else can be rebuilt from it.
    let log = open_log(&settings.data_dir, catalog.clone(), clock.clone())?;
    let store: Arc<dyn Store> = Arc::new(open_store(&settings.data_dir, catalog.clone())?);

    // The engine catches up with the log while the rest is built.
    let engine = roles.process.then(|| {
        Engine::start(Parts {
            catalog: catalog.clone(),
            log: log.clone(),
            store: store.clone(),
            clock: clock.clone(),
            programs: settings.programs,
            settings: engine::Settings { consumer: CONSUMER.to_owned(), ..engine::Settings::default() },
        })
    });
    let engine = engine.transpose().context("the engine cannot start")?;
    let stats = engine.as_ref().map(Engine::stats);
    let engine = Arc::new(Mutex::new(engine));

    // The one door, whose counters are a part of every figure.
    let intake = roles.collect.then(|| Intake::new(catalog.clone(), log.clone(), clock.clone(), CONSUMER));
    let figures = Arc::new(Figures {
        log: log.clone(),
        intake: intake.clone(),
        stats,
        engine: engine.clone(),
        clock: clock.clone(),
        began: clock.elapsed(),
        draining: watch::Sender::new(false),
        prometheus: prometheus.clone(),
    });
    telemetry::keep_up(prometheus);

    // Questions about all of it. Operators may always ask; clients where the role is.
    let rules = settings.rules.into_iter().map(|rule| rule.name).collect();
    let query = Arc::new(questions(catalog, store, log.clone(), clock.clone(), rules, &figures));
    let admin = query::admin_router(query.clone());
    let mut clients = docs::router();
    if roles.query {
        clients = clients.merge(query::router(query));
    }
    if let Some(intake) = intake {
        let hindrance = figures.clone();
        let hindrance = Arc::new(move || hindrance.hindrance());
        let collector = collect::collector(intake.clone(), settings.collect, hindrance);
        let grpc = collect::grpc::router(calls(intake.clone(), &figures));
        clients = clients.merge(collect::router(intake)).merge(grpc);
        clients = clients.merge(collector.context("the collector cannot start")?);
    }
    if let Some(control) = control {
        clients = clients.merge(emitter::router(control, clock));
    }

    // The doors open last, when everything behind them stands.
    let admin = Server::start(doors.admin, api::with_manners(admin))?;
    let clients = Server::start(doors.clients, api::with_manners(clients))?;
    Ok(App { figures, engine, log, clients, admin })
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

/// The gRPC door's view of the rest.
fn calls(intake: Arc<Intake>, figures: &Arc<Figures>) -> Grpc {
    let ready = figures.clone();
    Grpc { intake, ready: Arc::new(move || ready.ready().ready), closing: figures.draining.subscribe() }
}

fn questions(
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    log: Arc<DiskLog>,
    clock: Arc<dyn Clock>,
    rules: Vec<String>,
    figures: &Arc<Figures>,
) -> Query {
    let (live, ready, prometheus) = (figures.clone(), figures.clone(), figures.clone());
    Query {
        catalog,
        store,
        log,
        clock,
        rules,
        live: Arc::new(move || live.live()),
        ready: Arc::new(move || ready.ready()),
        prometheus: Arc::new(move || prometheus.prometheus()),
        version: VERSION,
    }
}

impl App {
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
        let Some(engine) = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        engine.send(Command::Drain);
        tokio::task::spawn_blocking(|| engine.join()).await?.context("the engine failed")
    }

    /// Takes everything down: readiness first, so that nobody sends more; then the intake, so that everything
    /// accepted is answered; then the engine with its batch in hand; then the log; the operator's door last.
    ///
    /// # Errors
    /// When it takes longer than the limit, or the engine had failed. Nothing acknowledged is lost either way.
    pub(crate) async fn drain(self, limit: Duration) -> anyhow::Result<()> {
        self.figures.draining.send_replace(true);
        let down = async {
            self.clients.close().await;
            let (engine, log) = (self.engine, self.log);
            let stopped = tokio::task::spawn_blocking(move || {
                let engine = engine.lock().unwrap_or_else(PoisonError::into_inner).take();
                let stopped = engine.map_or(Ok(()), Engine::stop);
                log.close();
                stopped
            });
            let stopped = stopped.await?;
            self.admin.close().await;
            stopped.context("the engine had failed")
        };
        let limited = tokio::time::timeout(limit, down).await;
        limited.unwrap_or_else(|_| anyhow::bail!("the drain took longer than {limit:?}; what is in the log is safe"))
    }
}
