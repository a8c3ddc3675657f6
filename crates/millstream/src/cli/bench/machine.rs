//! The machine that figures are of: without it they mean nothing.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use log::{Clock, SystemClock};
use serde_json::{Value, json};

const SYNCS: usize = 200;
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Cores, processor, memory, system, and how long the disk of `dir` takes to make 4 KiB durable.
pub(super) fn describe(dir: &Path) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fdatasync_ms = fdatasync_ms(dir).with_context(|| format!("cannot measure the disk of {}", dir.display()))?;
    Ok(json!({
        "cores": cores,
        "cpu": field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "memory_mib": memory_mib(),
        "os": os(),
        "fdatasync_ms": (fdatasync_ms * 1_000.0).round() / 1_000.0,
    }))
}

/// The peak resident memory of a process in MiB; `None` where the system does not tell.
pub(super) fn peak_rss_mib(pid: u32) -> Option<f64> {
    kib(&field(&format!("/proc/{pid}/status"), "VmHWM")?).map(|kib| kib / 1_024.0)
}

/// What this process has in memory now, in MiB; `None` where the system does not tell.
pub(super) fn rss_mib() -> Option<f64> {
    kib(&field("/proc/self/status", "VmRSS")?).map(|kib| kib / 1_024.0)
}

fn memory_mib() -> u64 {
    field("/proc/meminfo", "MemTotal").as_deref().and_then(kib).map_or(0, |kib| (kib / 1_024.0) as u64)
}

fn os() -> String {
    let name = std::fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = name.unwrap_or_else(|| std::env::consts::OS.to_owned());
    format!("{name} {}", kernel.trim()).trim().to_owned()
}

/// The value after `name:` in one of the system's files.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kib(text: &str) -> Option<f64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}

/// The median of 200 writes of 4 KiB, each made durable.
fn fdatasync_ms(dir: &Path) -> std::io::Result<f64> {
    let clock = SystemClock::default();
    let path = dir.join(format!("millstream-sync-{}", std::process::id()));
    #[expect(clippy::disallowed_methods, reason = "the disk itself is what is measured")]
    let mut file = File::create(&path)?;
    let mut times: Vec<Duration> = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = clock.elapsed();
        file.seek(SeekFrom::End(0))?;
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(clock.elapsed().saturating_sub(began));
    }
    #[expect(clippy::disallowed_methods, reason = "our own temporary file")]
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2].as_secs_f64() * 1_000.0)
}
