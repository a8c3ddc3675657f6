//! The second step: defaults filled in, keys looked at together, and what the parts of the product take as it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use collect::CollectorSettings;
use event::{Catalog, Dedup, Millis, Retention, Stream, StreamId};
use process::{Program, RuleKind, RuleSpec};

use super::EmitSettings;
use super::access::Access;
use super::node::Origin;
use super::problems::Problems;
use super::roles::Roles;
use super::section::nearest;
use super::typed::{Typed, TypedEmit};
use super::typed_rule::TypedRule;
use super::typed_stream::{TypedDedup, TypedStream};

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
    /// The load generator.
    pub(crate) emit: EmitSettings,
    /// All streams.
    pub(crate) catalog: Arc<Catalog>,
    /// All rules, as written.
    pub(crate) rules: Vec<RuleSpec>,
    /// The rules of each stream that has any, compiled.
    pub(crate) programs: Vec<(StreamId, Program)>,
}

/// Puts the user's document over the packs and checks the whole.
pub(crate) fn resolve(packs: Vec<Typed>, user: Typed, problems: &Problems) -> Option<Settings> {
    let mut streams: Vec<TypedStream> = Vec::new();
    let mut rules: Vec<TypedRule> = Vec::new();
    for pack in packs {
        streams.extend(pack.streams);
        rules.extend(pack.rules);
    }
    for stream in user.streams {
        match streams.iter_mut().find(|s| s.name == stream.name) {
            Some(base) => *base = stream.over(base.clone()),
            None => streams.push(stream),
        }
    }
    twice(&user.rules, problems);
    rules.retain(|built_in| user.rules.iter().all(|rule| rule.name != built_in.name));
    rules.extend(user.rules);
    let catalog = Arc::new(catalog(&streams, problems)?);
    let programs = compile(&catalog, &rules, problems);
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
        emit: emit(&user.emit),
        rules: rules.iter().map(spec).collect(),
        catalog,
        programs,
    })
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

fn twice(rules: &[TypedRule], problems: &Problems) {
    for (i, rule) in rules.iter().enumerate() {
        if rules[..i].iter().any(|other| other.name == rule.name) {
            let message = format!("rule `{}` is defined twice", rule.name);
            problems.add(&rule.path, rule.origin_of("name"), message, None);
        }
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

fn spec(rule: &TypedRule) -> RuleSpec {
    RuleSpec {
        name: rule.name.clone(),
        stream: rule.stream.clone(),
        when: rule.when.clone(),
        kind: match rule.count {
            None => RuleKind::Predicate,
            Some((more_than, within_ms)) => RuleKind::Count { more_than, within_ms },
        },
        severity: rule.severity,
        cooldown_ms: rule.cooldown_ms,
        description: rule.description.clone(),
        metadata: rule.metadata.clone(),
    }
}

/// Compiles the rules stream by stream; a rule of an unknown stream is a problem of its own.
fn compile(catalog: &Catalog, rules: &[TypedRule], problems: &Problems) -> Vec<(StreamId, Program)> {
    let names: Vec<&str> = catalog.iter().map(|(_, s)| s.name.as_str()).filter(|n| !n.starts_with('_')).collect();
    for rule in rules.iter().filter(|r| !names.contains(&r.stream.as_str())) {
        let near = nearest(&rule.stream, &names);
        let suggestion =
            near.map_or_else(|| format!("known: {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
        let path = format!("{}.stream", rule.path);
        problems.add(
            &path,
            rule.origin_of("stream"),
            format!("there is no stream `{}`", rule.stream),
            Some(suggestion),
        );
    }
    let mut programs = Vec::new();
    for (id, stream) in catalog.iter() {
        let here: Vec<&TypedRule> = rules.iter().filter(|r| r.stream == stream.name).collect();
        let specs: Vec<RuleSpec> = here.iter().map(|r| spec(r)).collect();
        if specs.is_empty() {
            continue;
        }
        match Program::compile(stream, &specs) {
            Ok(program) => programs.push((id, program)),
            Err(errors) => {
                for error in errors {
                    let rule = here.iter().find(|r| r.name == error.rule);
                    let path = rule.map_or_else(|| error.rule.clone(), |r| format!("{}.{}", r.path, error.field));
                    let origin = rule.map_or(&Origin::Absent, |r| r.origin_of(&error.field));
                    problems.add(&path, origin, format!("rule `{}`: {}", error.rule, error.message), None);
                }
            }
        }
    }
    programs
}
