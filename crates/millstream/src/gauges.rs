//! What pressure is measured by: the log's queue, processors, memory, and how fast processing drains.

use std::sync::{Arc, Weak};
use std::time::Duration;

use collect::Intake;
use collect::gate::{Reading, queue_fill};
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::figures::Figures;

/// How often: the use of processors cannot be told apart in much less.
const EVERY: Duration = Duration::from_millis(250);
/// How much a new drain rate counts against those before it.
const WEIGHT: f64 = 0.2;

/// Measures until the intake is gone.
pub(crate) fn start(figures: Arc<Figures>, intake: &Arc<Intake>) {
    tokio::spawn(run(figures, Arc::downgrade(intake)));
}

async fn run(figures: Arc<Figures>, intake: Weak<Intake>) {
    let (mut machine, mut drain) = (Machine::new(), Drain::default());
    if let Err(error) = &machine {
        tracing::warn!(%error, "this system does not tell about processors and memory: they never count as pressure");
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(intake) = intake.upgrade() else { return };
        let status = figures.log.status();
        let (cpu, process_cpu, memory) = machine.as_mut().map_or((0.0, 0.0, 0.0), |machine| {
            machine.look();
            (machine.cpu(), machine.process_cpu(), machine.memory())
        });
        intake.pressure().update(Reading {
            queue: queue_fill(&status),
            queue_age: Duration::from_millis(status.queue_age_ms.unsigned_abs()),
            machine_cpu: cpu,
            process_cpu,
            memory,
            lag_events: figures.lag_events(),
            drain_rate: drain.rate(figures.clock.elapsed(), figures.stored()),
        });
    }
}

/// The machine as the system tells it.
struct Machine {
    system: System,
    pid: Option<Pid>,
    cores: f64,
}

impl Machine {
    fn new() -> Result<Self, sysinfo::Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let mut machine = Self { system: System::new()?, pid: sysinfo::get_current_pid().ok(), cores };
        machine.look();
        Ok(machine)
    }

    fn look(&mut self) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let kind = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(self.pid.as_slice()), false, kind);
    }

    /// From 0 to 1 of all processors.
    fn cpu(&self) -> f64 {
        (f64::from(self.system.global_cpu_usage()) / 100.0).clamp(0.0, 1.0)
    }

    /// What of it is ours.
    fn process_cpu(&self) -> f64 {
        let process = self.pid.and_then(|pid| self.system.process(pid));
        process.map_or(0.0, |process| (f64::from(process.cpu_usage()) / 100.0 / self.cores).clamp(0.0, 1.0))
    }

    /// From 0 to 1 of the memory that we may use: the machine's, or that of our control group. What files are cached in
    /// is not used: it goes when it is needed.
    fn memory(&self) -> f64 {
        let of = |used: u64, all: u64| if all == 0 { 0.0 } else { used as f64 / all as f64 };
        let machine = of(self.system.used_memory(), self.system.total_memory());
        let group = self.system.cgroup_limits().filter(|group| group.total_memory < self.system.total_memory());
        group.map_or(machine, |group| machine.max(of(group.rss, group.total_memory))).clamp(0.0, 1.0)
    }
}

/// Events a second, over the last second or two.
#[derive(Default)]
struct Drain {
    before: Option<(Duration, u64)>,
    rate: f64,
}

impl Drain {
    fn rate(&mut self, now: Duration, stored: u64) -> f64 {
        let (then, before) = self.before.replace((now, stored)).unwrap_or((now, stored));
        let seconds = now.saturating_sub(then).as_secs_f64();
        if seconds > 0.0 {
            let latest = stored.saturating_sub(before) as f64 / seconds;
            self.rate += WEIGHT * (latest - self.rate);
        }
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use log::{Clock, SystemClock};

    use super::*;

    #[test]
    fn the_drain_rate_follows_what_is_stored() {
        let mut drain = Drain::default();
        assert_eq!(drain.rate(Duration::ZERO, 1_000), 0.0);
        let rates: Vec<f64> = (1..=60).map(|n| drain.rate(EVERY * n, 1_000 + 250 * u64::from(n))).collect();
        assert!(rates[0] > 0.0 && rates.is_sorted());
        assert!((rates[59] - 1_000.0).abs() < 1.0, "{}", rates[59]);
    }

    #[test]
    fn the_machine_is_really_looked_at() {
        let mut machine = Machine::new().unwrap();
        let memory = machine.memory();
        assert!(memory > 0.0 && memory < 1.0, "{memory}");
        // Work until it shows; the system counts in ticks of 10 ms.
        let (clock, limit) = (SystemClock::default(), Duration::from_secs(20));
        loop {
            let mut sum = 0_u64;
            (0..20_000_000_u64).for_each(|n| sum = std::hint::black_box(sum.wrapping_add(n)));
            machine.look();
            if machine.process_cpu() > 0.1 && machine.cpu() >= 0.1 {
                return;
            }
            assert!(clock.elapsed() < limit, "process {}, machine {}", machine.process_cpu(), machine.cpu());
        }
    }
}
