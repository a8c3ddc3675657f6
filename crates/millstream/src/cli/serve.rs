//! `millstream serve`: run until a signal, then drain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::SystemClock;

use super::Verdict;
use crate::config::{self, BadConfig, Roles, Settings, Source, address, units};
use crate::emitter::{Control, Emitter, Mix, Plan, Target};
use crate::output::note;
use crate::shutdown::Signals;
use crate::telemetry::{self, LogFormat};
use crate::wiring::{self, App, Doors};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; millstream.yaml of this folder when it is there, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the log and the store.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where the operator connects: metrics, health, debug.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// What this process does: collect, process, query, emit, joined by commas.
    #[arg(long)]
    roles: Option<Roles>,
    /// Listen on addresses that other machines can reach, though nobody is asked for a key.
    #[arg(long)]
    insecure: bool,
    /// How long a drain may take.
    #[arg(long, value_name = "TIME", value_parser = units::duration_flag)]
    drain_timeout: Option<Duration>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t, env = "MILLSTREAM_LOG_FORMAT")]
    log_format: LogFormat,
}

pub(super) fn run(args: &Args) -> Verdict {
    let settings = load(args)?;
    telemetry::log_lines(args.log_format, "info");
    let recorder = telemetry::recorder()?;
    let runtime = wiring::runtime()?;
    let again = args.clone();
    let drained = runtime.block_on(async {
        let doors = Doors::bind(settings.listen, settings.admin, false).await?;
        let (limit, emit) = (settings.drain_timeout, settings.roles.emit.then(|| settings.emit.clone()));
        let control = emit.as_ref().map(|emit| Arc::new(Control::new(emit.rate, emit.burst)));
        let app = wiring::start(&settings, doors, control.clone(), recorder, Box::new(move || load(&again)))?;
        let mut signals = Signals::new()?;
        announce(&app);
        let emitter = match (emit, control) {
            (Some(emit), Some(control)) => Some(emitting(emit, control, &app)?),
            _ => None,
        };
        while signals.reload_or_end().await {
            app.reload();
        }
        signals.ended();
        if let Some(emitter) = emitter {
            emitter.finish().await;
        }
        app.drain(limit).await
    });
    wiring::shut(runtime);
    drained.map(|()| true)
}

/// What stands in the file, the environment and the flags now.
fn load(args: &Args) -> Result<Settings, BadConfig> {
    let source = Source::find(args.config.as_deref())?;
    let settings = with_flags(config::load(&source)?, args);
    config::refuse_open_doors(&settings, args.insecure, &source.name)?;
    if settings.roles.emit && settings.access.tls.is_some() {
        let message = "the role `emit` does not speak TLS, and `tls` is on";
        return Err(BadConfig::one("roles", message, "run `millstream emit` against a port without TLS"));
    }
    Ok(settings)
}

/// Flags come over the environment, which comes over the file.
fn with_flags(mut settings: Settings, args: &Args) -> Settings {
    if let Some(dir) = &args.data_dir {
        settings.data_dir.clone_from(dir);
    }
    settings.listen = args.listen.unwrap_or(settings.listen);
    settings.admin = args.admin.unwrap_or(settings.admin);
    settings.roles = args.roles.unwrap_or(settings.roles);
    settings.drain_timeout = args.drain_timeout.unwrap_or(settings.drain_timeout);
    settings
}

/// The line that scripts wait for: it comes when the doors are open.
pub(super) fn announce(app: &App) {
    let scheme = if app.is_secure() { "https" } else { "http" };
    note(&format!("listening on {scheme}://{} admin http://{}", app.address(), app.admin_address()));
}

/// The role `emit`: load against our own door, until the end.
fn emitting(settings: config::EmitSettings, control: Arc<Control>, app: &App) -> anyhow::Result<Emitter> {
    let key = std::env::var("MILLSTREAM_KEY").ok();
    let target = Target::parse(&format!("http://{}", app.address())).and_then(|target| target.with_key(key.as_deref()));
    let target = target.map_err(anyhow::Error::msg)?;
    let bar = indicatif::ProgressBar::hidden();
    let plan = Plan { settings, mix: Mix::default(), seed: None, duration: None, count: None, acks: None, target, bar };
    Emitter::start(plan, control, Arc::new(SystemClock::default()))
}
