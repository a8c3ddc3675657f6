//! The second step: defaults filled in, keys looked at together, and what the parts of the product take as it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collect::CollectorSettings;
use event::{Catalog, Dedup, Millis, Retention, Stream, StreamId};
use notify::Target;
use process::{Program, RuleSpec, WindowSpec};

use super::EmitSettings;
use super::access::Access;
use super::backends::Backends;
use super::node::Origin;
use super::problems::Problems;
use super::roles::Roles;
use super::targets;
use super::typed::{Typed, TypedDefinitions, TypedEmit};
use super::typed_stream::{TypedDedup, TypedStream};
use super::written::Written;

const PARTITIONS: u32 = 6;
const DEDUP_WITHIN_MS: Millis = 3_600_000;
const RETENTION_AGE_MS: Millis = 7 * 86_400_000;
const DRAIN_TIMEOUT_MS: Millis = 60_000;

/// Everything that the wiring needs, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Where the operator connects.
    pub(crate) admin: SocketAddr,
    /// The folder of the log and the store.
    pub(crate) data_dir: PathBuf,
    /// What this process does.
    pub(crate) roles: Roles,
    /// How long a drain may take.
    pub(crate) drain_timeout: Duration,
    /// What the collector asks for beyond its defaults.
    pub(crate) collect: CollectorSettings,
    /// Who may come in, and how much they may send.
    pub(crate) access: Access,
    /// What keeps the log, the rows and the live values.
    pub(crate) backends: Backends,
    /// The load generator.
    pub(crate) emit: EmitSettings,
    /// All streams.
    pub(crate) catalog: Arc<Catalog>,
    /// Whom to tell of anomalies.
    pub(crate) alerts: Vec<Target>,
    /// The same as documents, without what is secret.
    pub(crate) alerts_shown: Vec<serde_json::Value>,
    /// A number for what is not shown of each, of this process alone.
    pub(crate) alerts_marks: Vec<u64>,
    /// The zone of rules on hours that have none of their own.
    pub(crate) zone: String,
    /// All rules, as written.
    pub(crate) rules: Vec<RuleSpec>,
    /// All windows, as written.
    pub(crate) windows: Vec<WindowSpec>,
    /// The rules and windows of each stream that has any, compiled.
    pub(crate) programs: Vec<(StreamId, Program)>,
}

/// The streams and what is looked for in them, checked: the parts of [`Settings`] of the same names.
pub(crate) struct Definitions {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) zone: String,
    pub(crate) rules: Vec<RuleSpec>,
    pub(crate) windows: Vec<WindowSpec>,
    pub(crate) programs: Vec<(StreamId, Program)>,
}

/// Puts the user's document over the packs and checks the whole.
pub(crate) fn resolve(packs: Vec<Typed>, user: Typed, problems: &Problems) -> Option<Settings> {
    let packs: Vec<_> = packs.into_iter().map(|pack| pack.definitions).collect();
    let streams = streams(packs.iter().map(|pack| &pack.streams), &user.definitions.streams);
    let Definitions { catalog, zone, rules, windows, programs } = definitions(packs, user.definitions, problems)?;
    let backends = Backends::resolve(user.backends, &streams, &catalog, problems);
    let alerts = targets::check(&user.alerts, &rules, &catalog, problems);
    Some(Settings {
        listen: user.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000))),
        admin: user.admin.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8001))),
        data_dir: user.data_dir.unwrap_or_else(|| PathBuf::from("millstream-data")),
        roles: user.roles.unwrap_or_default(),
        drain_timeout: Duration::from_millis(user.drain_timeout_ms.unwrap_or(DRAIN_TIMEOUT_MS).unsigned_abs()),
        collect: CollectorSettings {
            strict_uuids: user.collect.strict_uuids.unwrap_or(false),
            time_window_ms: user.collect.time_window_ms.flatten(),
        },
        access: user.access,
        backends: backends?,
        emit: emit(&user.emit),
        alerts,
        alerts_marks: user.alerts.iter().map(|alert| alert.mark).collect(),
        alerts_shown: user.alerts.into_iter().map(|alert| alert.shown).collect(),
        zone,
        rules,
        windows,
        catalog,
        programs,
    })
}

/// Puts the user's streams, rules and windows over those of the packs, and compiles them.
pub(crate) fn definitions(
    packs: Vec<TypedDefinitions>,
    user: TypedDefinitions,
    problems: &Problems,
) -> Option<Definitions> {
    let streams = streams(packs.iter().map(|pack| &pack.streams), &user.streams);
    let (mut rules, mut windows) = (Vec::new(), Vec::new());
    for pack in packs {
        rules.extend(pack.rules);
        windows.extend(pack.windows);
    }
    let zone = user.zone.unwrap_or_else(|| "UTC".to_owned());
    let catalog = Arc::new(catalog(&streams, problems)?);
    let written = Written::over(rules, user.rules, windows, user.windows, &zone, problems);
    let programs = written.compile(&catalog, problems);
    let (rules, windows) = written.specs();
    Some(Definitions { catalog, zone, rules, windows, programs })
}

/// The user's streams over those of the packs, key by key.
fn streams<'a>(packs: impl Iterator<Item = &'a Vec<TypedStream>>, user: &[TypedStream]) -> Vec<TypedStream> {
    let mut streams: Vec<TypedStream> = packs.flatten().cloned().collect();
    for stream in user {
        match streams.iter_mut().find(|s| s.name == stream.name) {
            Some(base) => *base = stream.clone().over(base.clone()),
            None => streams.push(stream.clone()),
        }
    }
    streams
}

fn emit(typed: &TypedEmit) -> EmitSettings {
    let base = EmitSettings::default();
    EmitSettings {
        rate: typed.rate.unwrap_or(base.rate),
        burst: typed.burst.unwrap_or(base.burst),
        workers: typed.workers.map_or(base.workers, |n| n as usize),
        queue_max: typed.queue_max.map_or(base.queue_max, |n| n as usize),
        flush_every: typed.flush_every.map_or(base.flush_every, |n| n as usize),
        batch: typed.batch.map(|n| n as usize),
    }
}

/// All streams; each is tried alone first, so that one bad name does not hide the next.
fn catalog(typed: &[TypedStream], problems: &Problems) -> Option<Catalog> {
    let mut sound = Vec::new();
    for stream in typed {
        let resolved = resolved_stream(stream);
        match Catalog::new(vec![resolved.clone()]) {
            Ok(_) => sound.push(resolved),
            Err(error) => problems.add(&stream.path, &stream.origin, error.to_string(), None),
        }
    }
    Catalog::new(sound).map_err(|error| problems.add("streams", &Origin::Absent, error.to_string(), None)).ok()
}

fn resolved_stream(typed: &TypedStream) -> Stream {
    let typed = typed.clone();
    let retention = typed.retention.unwrap_or_default();
    // Without an id there is nothing to tell a duplicate by.
    let dedup = match (&typed.id, typed.dedup) {
        (None, _) | (_, Some(None)) => None,
        (Some(_), Some(Some(dedup))) => Some(dedup),
        (Some(_), None) => Some(TypedDedup::default()),
    };
    Stream {
        name: typed.name,
        partitions: typed.partitions.unwrap_or(PARTITIONS),
        key: typed.key,
        time: typed.time,
        id: typed.id,
        kind: typed.kind,
        require: typed.require.unwrap_or_default(),
        dedup: dedup.map(|dedup| Dedup {
            within_ms: dedup.within_ms.unwrap_or(DEDUP_WITHIN_MS),
            ids_max: dedup.ids_max.unwrap_or(event::limits::DEDUP_IDS),
        }),
        retention: Retention {
            age_ms: retention.age_ms.unwrap_or(Some(RETENTION_AGE_MS)),
            size_bytes: retention.size_bytes.unwrap_or(None),
        },
    }
}
