//! What `deploy/` holds, checked by the tools of those who read it: Docker, Prometheus, Grafana, Kubernetes, KEDA, ourselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::docs::document;
use crate::product::{command, folder, read, write};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `cargo xtask test` has got.
fn need(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set; `cargo xtask test` sets it")).into()
}

/// Runs a command to its end; gives all it said, and fails unless it succeeds.
fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

fn promtool(arguments: &[&str]) -> String {
    passes(Command::new(need("MILLSTREAM_TEST_PROMTOOL")).args(arguments).current_dir(root().join("deploy/prometheus")))
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    passes(Command::new(need("MILLSTREAM_TEST_HADOLINT")).arg("Dockerfile").current_dir(root().join("deploy")));
}

#[test]
fn promtool_accepts_the_configuration_and_sees_every_alert_fire() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
    let examples = document("deploy/prometheus/rules_test.yml");
    let rules = document("deploy/prometheus/rules.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(examples.contains(&format!("alertname=\"{alert}\"")), "no example in which {alert} fires");
    }
}

/// The questions that the panels of the dashboard ask.
fn panels() -> Vec<(String, String)> {
    let text = document("deploy/grafana/dashboards/event-pipeline.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let told = (dashboard["uid"].as_str().unwrap(), dashboard["title"].as_str().unwrap());
    assert_eq!(told, ("event_pipeline_001", "Event Pipeline Dashboard"));
    let panels = dashboard["panels"].as_array().unwrap();
    let source = document("deploy/grafana/provisioning/datasources/prometheus.yml");
    let asked = panels.iter().flat_map(|panel| {
        let uid = panel["datasource"]["uid"].as_str().unwrap();
        assert!(source.contains(&format!("uid: {uid}\n")), "no data source {uid}");
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap();
        targets.iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    });
    asked.collect()
}

#[test]
fn promtool_reads_what_the_ten_panels_of_the_dashboard_ask() {
    let panels = panels();
    let titles: BTreeSet<&String> = panels.iter().map(|(title, _)| title).collect();
    assert_eq!(titles.len(), 10);
    let rules: Vec<Value> = panels
        .iter()
        .enumerate()
        .map(|(at, (_, expr))| {
            serde_json::json!({ "record": format!("panel_{at}"), "expr": expr.replace("$__rate_interval", "1m") })
        })
        .collect();
    let dir = folder();
    // JSON is YAML.
    let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    promtool(&["check", "rules", write(dir.path(), "panels.yml", file.as_bytes()).to_str().unwrap()]);
}

/// Every text between quotes in the sources of the product.
fn literals(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            literals(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = String::from_utf8(read(&path)).unwrap();
            found.extend(text.split('"').filter(|part| part.len() < 100).map(str::to_owned));
        }
    }
}

#[test]
fn alerts_and_panels_ask_for_metrics_that_the_product_tells() {
    let mut told = BTreeSet::new();
    for room in std::fs::read_dir(root().join("crates")).unwrap() {
        literals(&room.unwrap().path().join("src"), &mut told);
    }
    let rules = document("deploy/prometheus/rules.yml");
    let asked = panels().into_iter().map(|(_, expr)| expr).chain([rules]).collect::<Vec<_>>().join("\n");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = asked.split(|c| !word(c)).filter(|word| {
        word.starts_with("millstream_") || ["_total", "_bucket", "_current"].iter().any(|end| word.ends_with(end))
    });
    let metrics: BTreeSet<&str> =
        words.map(|w| ["_bucket", "_count", "_sum"].iter().find_map(|end| w.strip_suffix(end)).unwrap_or(w)).collect();
    assert!(metrics.len() > 10, "{metrics:?}");
    let unknown: Vec<_> = metrics.iter().filter(|metric| !told.contains(**metric)).collect();
    assert!(unknown.is_empty(), "the product has no {unknown:?}");
}

/// A program of the packages that bring schemas along.
fn by_schema(program: &str) -> Command {
    let packages = need("MILLSTREAM_TEST_SCHEMAS");
    let mut command = Command::new("python3");
    command.arg(packages.join("bin").join(program)).env("PYTHONPATH", packages);
    command
}

#[test]
fn the_compose_file_is_valid_by_schema_and_what_it_mounts_is_there() {
    let deploy = root().join("deploy");
    passes(
        by_schema("check-jsonschema")
            .args(["--builtin-schema", "vendor.compose-spec"])
            .arg(deploy.join("compose.yaml")),
    );
    let compose = document("deploy/compose.yaml");
    let mounted: Vec<&str> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")?.split(':').next()).collect();
    assert!(mounted.len() >= 6, "{mounted:?}");
    assert!(mounted.iter().all(|path| deploy.join(path).exists()), "{mounted:?}");
    let sample = document("deploy/env.example");
    for name in compose.split("${").skip(1).filter_map(|rest| rest.split(':').next()) {
        assert!(sample.contains(&format!("\n{name}=")), "{name} is not in env.example");
    }
}

/// The files of Kubernetes' manifests, by name.
fn manifests() -> Vec<PathBuf> {
    let folder = root().join("deploy/k8s");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_manifests_are_valid_by_schema() {
    let said = passes(by_schema("kubernetes-validate").arg("--strict").args(manifests()));
    // It knows Kubernetes' own kinds alone, and says so of others.
    let others = ["Kustomization", "ScaledObject"];
    let unknown: Vec<&str> = said.lines().filter(|line| line.contains("Couldn't find schema")).collect();
    assert_eq!(unknown.len(), others.len(), "{said}");
    assert!(others.iter().all(|kind| unknown.iter().any(|line| line.contains(kind))), "{said}");
    let passed = said.lines().filter(|line| line.contains(" passed for resource ")).count();
    let kinds = |file: &PathBuf| {
        String::from_utf8(read(file)).unwrap().lines().filter(|line| line.starts_with("kind: ")).count()
    };
    assert_eq!(passed + others.len(), manifests().iter().map(kinds).sum::<usize>(), "{said}");
    let list = document("deploy/k8s/kustomization.yaml");
    for name in manifests().iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()) {
        assert!(name == "kustomization.yaml" || list.contains(&format!("  - {name}\n")), "{name} is not applied");
    }
}

const KEDA: &str = r#"
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { parseAllDocuments } from "yaml";
import { readFileSync } from "fs";
const all = process.argv.slice(1).flatMap((file) => parseAllDocuments(readFileSync(file, "utf8"))).map((d) => d.toJS());
const scaled = all.filter((d) => d && d.kind === "ScaledObject");
for (const d of scaled) new ScaledObject(d).validate();
console.log(scaled.length);
"#;

#[test]
fn what_scales_by_lag_is_valid_for_keda() {
    let modules = need("MILLSTREAM_TEST_KEDA");
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", KEDA]).args(manifests()).current_dir(modules.parent().unwrap());
    assert_eq!(passes(&mut command).trim(), "1");
    let (process, config) = (document("deploy/k8s/process.yaml"), document("deploy/k8s/config.yaml"));
    let brokers = config.lines().find_map(|line| line.trim().strip_prefix("KAFKA_BOOTSTRAP_SERVERS: ")).unwrap();
    assert_eq!(process.matches(&format!("bootstrapServers: {brokers}\n")).count(), 2);
    assert!(config.contains("topic: signal-events"));
}

#[test]
fn the_configurations_of_the_stack_pass_check() {
    let config = document("deploy/k8s/config.yaml");
    let (_, inner) = config.split_once("  millstream.yaml: |\n").unwrap();
    let inner: String = inner.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let hash = "50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c";
    let keys = format!("[{{ name: a, role: admin, sha256: \"{hash}\" }}]");
    // In the network of the stack the doors are open, and the file of the stack says so; a cluster has keys.
    for (text, insecure) in [(document("deploy/millstream.yaml"), true), (inner, false)] {
        let dir = folder();
        write(dir.path(), "millstream.yaml", text.as_bytes());
        let mut check = command(dir.path());
        check.arg("check").args(insecure.then_some("--insecure"));
        check.env("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092").env("REDIS_URL", "redis://redis:6379");
        check.env("DATABASE_URL", "postgres://millstream:word@db:5432/eventpipeline");
        if !insecure {
            check.env("MILLSTREAM__KEYS", &keys);
        }
        passes(&mut check);
    }
}
