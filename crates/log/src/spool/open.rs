//! Opening a spool and closing it.

use std::path::Path;
use std::sync::Arc;

use event::{Block, Catalog, Millis, Stream, StreamId};
use parking_lot::{Condvar, Mutex};

use super::SpoolSettings;
use super::bounds::Ages;
use super::core::Core;
use super::floors::Floors;
use super::identity::{Origins, Tail};
use super::progress::Progress;
use super::way::{State, Way};
use crate::disk::{DiskLog, DiskSettings};
use crate::{Clock, Disk, Log, LogError};

pub(super) fn open(
    inner: Arc<dyn Log>,
    tail: Arc<dyn Tail>,
    dir: &Path,
    catalog: Arc<Catalog>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    settings: SpoolSettings,
) -> Result<Core, LogError> {
    let open_log = |catalog: Arc<Catalog>| {
        let settings = DiskSettings { segment_bytes: settings.segment_bytes(), ..DiskSettings::default() };
        DiskLog::open(dir, catalog, disk.clone(), clock.clone(), settings)
    };
    let spool = loop {
        match open_log(catalog.clone()) {
            Err(LogError::Partitions { stream, on_disk, configured }) => {
                make_anew(&*disk, dir, &catalog, &open_log, (&stream, on_disk, configured))?;
            }
            opened => break opened?,
        }
    };
    let progress = Progress::load(&*disk, dir, &catalog);
    // The consumer keeps what is not drained, and that no offset of what was drained is given again.
    spool.commit("drain", &progress.positions())?;
    let oldest = oldest(&spool, &catalog, &progress)?;
    let way = if oldest.iter().any(Option::is_some) { Way::Disk } else { Way::Broker };
    let floors = Floors::new(super::ends(&*inner, &catalog), 0);
    Ok(Core {
        origins: Origins::new(inner.id_hasher()),
        ages: Ages::new(&*clock),
        figures: super::figures::Figures::default(),
        state: Mutex::new(State::new(way, floors, oldest)),
        progress: Mutex::new(progress),
        inner,
        tail,
        spool,
        catalog,
        disk,
        dir: dir.to_owned(),
        clock,
        settings,
        moved: Condvar::new(),
        roused: Condvar::new(),
        ready: Arc::default(),
    })
}

/// Makes a stream of the spool anew that was made with another number of partitions, if nothing of it waits.
fn make_anew(
    disk: &dyn Disk,
    dir: &Path,
    catalog: &Catalog,
    open_log: &dyn Fn(Arc<Catalog>) -> Result<DiskLog, LogError>,
    (name, on_disk, configured): (&str, u32, u32),
) -> Result<(), LogError> {
    let refused = |waiting: &str| {
        let stream = format!("{name}{waiting}");
        LogError::Partitions { stream, on_disk, configured }
    };
    let found = catalog.iter().find(|(_, stream)| stream.name == name);
    let old = found.map(|(_, stream)| Stream { partitions: on_disk, ..stream.clone() });
    let old = Arc::new(Catalog::new(old.into_iter().collect()).map_err(|_| refused(""))?);
    let spool = open_log(old.clone())?;
    let stream = old.find(name).ok_or_else(|| refused(""))?;
    let ends = spool.extents(stream).into_iter();
    if ends.zip(Progress::load(disk, dir, &old).of(stream)).any(|(end, (_, part))| part.drained < end.next) {
        return Err(refused(", whose events wait in the spool,"));
    }
    drop(spool);
    let folder = dir.join(name);
    let failed = |e: std::io::Error| LogError::Disk { path: folder.display().to_string(), message: e.to_string() };
    for file in disk.list(&folder).map_err(failed)? {
        disk.remove(&folder.join(file)).map_err(failed)?;
    }
    tracing::info!(stream = name, on_disk, configured, "the spool of a stream is made anew; it was empty");
    Ok(())
}

/// For each stream when the first record that waits was taken.
fn oldest(spool: &DiskLog, catalog: &Catalog, progress: &Progress) -> Result<Vec<Option<Millis>>, LogError> {
    let of = |(id, _): (StreamId, &Stream)| {
        let from: Vec<_> = progress.of(id).map(|(partition, part)| (partition, part.drained)).collect();
        let blocks = spool.read(id, &from)?.next(1)?;
        Ok(blocks.first().map(|block: &Block| block.appended_at))
    };
    catalog.iter().map(of).collect()
}

impl Core {
    /// Passes on answers until the spool is finished.
    pub(super) fn relay(&self) {
        while self.ready.wait() {
            self.settle(&mut self.state.lock());
            self.pump();
        }
    }

    /// Takes nothing more, and lets the drain end after the window at hand.
    pub(super) fn stop_drain(&self) {
        let mut state = self.state.lock();
        (state.closed, state.stopped) = (true, true);
        drop(state);
        self.roused.notify_all();
        self.moved.notify_all();
    }

    /// Waits until every request has its answer, and ends the relay.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        self.moved.wait_while(&mut state, |state| !state.is_idle());
        drop(state);
        self.ready.stop();
        let text = self.progress.lock().text(&self.catalog);
        self.keep(&text);
    }
}
