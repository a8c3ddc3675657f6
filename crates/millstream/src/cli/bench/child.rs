//! A child process that serves a fresh folder: what is measured from outside.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::machine::peak_rss_mib;

/// A folder that goes when this does.
pub(super) struct TempDir(pub(super) PathBuf);

impl TempDir {
    pub(super) fn new(parent: &Path) -> anyhow::Result<Self> {
        let path = parent.join(format!("millstream-bench-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A server in a process of its own. It ends, by force, when this is dropped: its folder is thrown away anyhow.
pub(super) struct Serving {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    _dir: TempDir,
}

impl Serving {
    /// Starts this very program on free ports, with these roles and this configuration, and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) fn start(parent: &Path, roles: &str, config: &str) -> anyhow::Result<Self> {
        let dir = TempDir::new(parent)?;
        let file = dir.0.join("bench.yaml");
        #[expect(clippy::disallowed_methods, reason = "our own temporary file")]
        std::fs::File::create(&file)?.write_all(config.as_bytes())?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--roles", roles, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(dir.0.join("data"))
            .env("MILLSTREAM_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let stderr = child.stderr.take().context("the server has no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| addresses(&line));
        let Some((address, admin)) = found else {
            drop(child.kill());
            anyhow::bail!("the server ended before it listened: {}", child.wait()?);
        };
        // Whatever it says later is for the person who watches.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| crate::output::note(&line)));
        Ok(Self { child, address, admin, _dir: dir })
    }

    /// Its peak resident memory so far.
    pub(super) fn peak_rss_mib(&self) -> Option<f64> {
        peak_rss_mib(self.child.id())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The addresses in the line that `serve` prints when its doors are open.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let rest = line.strip_prefix("listening on http://")?;
    let (clients, admin) = rest.split_once(" admin http://")?;
    Some((clients.parse().ok()?, admin.trim().parse().ok()?))
}
