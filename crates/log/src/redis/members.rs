//! Membership by leases: who is in a group, and whose a partition is, stands in Redis; each member says every second that it
//! lives, takes its share of what is free, and gives back what it has too much, after its owner has let go.
//!
//! A member that is not heard of for [`LEASE_MS`] has left. It knows that too: after that time, by its own clock, its owner
//! lets go of everything, until it is heard again. After an outage of Redis itself all get that time anew, and what they had.
//! Two threads a member: one speaks with Redis, the other with the owner, who may take long to let go.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use event::StreamId;
use parking_lot::{Condvar, Mutex};

use super::shared::{Owned, Shared};
use crate::{LogError, Membership, Owner};

/// How long a member may be silent, by the clock of Redis.
const LEASE_MS: u64 = 4_000;
/// How often it speaks.
const EVERY: Duration = Duration::from_millis(1_000);
/// The same when it was not heard.
const AGAIN: Duration = Duration::from_millis(250);

type Place = (StreamId, u32);

/// A member of a group.
pub(super) struct Member {
    shared: Arc<Shared>,
    pub(super) consumer: String,
    name: String,
    /// All partitions of the group, in the order in which they are taken, with their names in Redis.
    all: Vec<(Place, String)>,
    owner: Arc<dyn Owner>,
    state: Mutex<State>,
    turned: Condvar,
    /// Held while Redis is asked and its answer is taken in: an older answer never follows a younger one.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Ours by Redis.
    granted: Vec<Place>,
    /// How many of them are too many.
    excess: usize,
    /// Ours as the owner knows.
    have: Vec<Place>,
    /// When it spoke the last time that it was heard, by our clock.
    heard_at: Duration,
    soon: bool,
    leaving: bool,
    left: bool,
}

/// What the owner is told next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Redis has given these to others, or they are given back.
    Lose {
        places: Vec<Place>,
        give: Vec<Place>,
    },
    Gain(Vec<Place>),
    Leave,
    Nothing,
}

impl State {
    /// Lets go what was granted for a lease that is over.
    fn expire(&mut self, now: Duration) {
        if now.saturating_sub(self.heard_at) >= Duration::from_millis(LEASE_MS) {
            (self.excess, self.granted) = (0, Vec::new());
        }
    }

    fn step(&self) -> Step {
        if self.leaving {
            return Step::Leave;
        }
        let gone: Vec<Place> = self.have.iter().filter(|place| !self.granted.contains(place)).copied().collect();
        // What the owner never had goes first.
        let fresh = self.granted.iter().rev().filter(|place| !self.have.contains(place));
        let known = self.granted.iter().rev().filter(|place| self.have.contains(place));
        let give: Vec<Place> = fresh.chain(known).take(self.excess).copied().collect();
        if !gone.is_empty() || !give.is_empty() {
            let held = give.iter().filter(|place| self.have.contains(place));
            return Step::Lose { places: gone.iter().chain(held).copied().collect(), give };
        }
        let gained: Vec<Place> = self.granted.iter().filter(|place| !self.have.contains(place)).copied().collect();
        if gained.is_empty() { Step::Nothing } else { Step::Gain(gained) }
    }
}

impl Member {
    /// Speaks until the member has left.
    fn beat(&self) {
        loop {
            let heard = {
                let _turn = self.turn.lock();
                if self.state.lock().left {
                    return;
                }
                self.ask()
            };
            let mut state = self.state.lock();
            if let Err(error) = &heard {
                tracing::debug!(consumer = self.consumer, %error, "a member was not heard");
            }
            let pause = if heard.is_ok() { EVERY } else { AGAIN };
            self.turned.notify_all();
            if !state.soon && !state.left {
                self.turned.wait_while_for(&mut state, |state| !state.soon && !state.left, pause);
            }
            state.soon = false;
        }
    }

    /// Says that it lives and takes in what it is told.
    fn ask(&self) -> Result<(), LogError> {
        let spoken_at = self.shared.clock.elapsed();
        let told: Vec<String> = self.shared.link.call(|connection| {
            let mut call = self.shared.scripts.beat.prepare_invoke();
            call.key(&self.shared.keys.prefix).arg(&self.consumer).arg(&self.name).arg(LEASE_MS);
            for (_, name) in &self.all {
                call.arg(name);
            }
            call.invoke(connection)
        })?;
        let mut state = self.state.lock();
        state.heard_at = spoken_at;
        state.excess = told.first().and_then(|text| text.parse().ok()).unwrap_or(0);
        let granted = told.iter().skip(1).filter_map(|name| self.all.iter().find(|(_, known)| known == name));
        state.granted = granted.map(|(place, _)| *place).collect();
        Ok(())
    }

    /// Gives partitions back, or leaves with all.
    fn release(&self, places: &[Place], leaves: bool) -> Result<(), LogError> {
        let names = self.all.iter().filter(|(place, _)| leaves || places.contains(place)).map(|(_, name)| name);
        self.shared.link.call(|connection| {
            let mut call = self.shared.scripts.release.prepare_invoke();
            call.key(&self.shared.keys.prefix).arg(&self.consumer).arg(&self.name).arg(u8::from(leaves));
            for name in names.clone() {
                call.arg(name);
            }
            call.invoke::<()>(connection)
        })
    }

    /// Tells the owner, one thing after the other, until the member has left.
    fn tell(&self) {
        loop {
            let step = {
                let mut state = self.state.lock();
                loop {
                    // A lease ends even while Redis lets us wait for its answer.
                    state.expire(self.shared.clock.elapsed());
                    match state.step() {
                        Step::Nothing => {
                            self.turned.wait_for(&mut state, AGAIN);
                        }
                        step => break step,
                    }
                }
            };
            match step {
                Step::Gain(places) => {
                    self.own(&places);
                    self.owner.gained(&places);
                    self.state.lock().have.extend(&places);
                }
                Step::Lose { places, give } => {
                    self.lose(&places);
                    self.give(&give);
                }
                Step::Leave => {
                    let have = self.state.lock().have.clone();
                    self.lose(&have);
                    let _turn = self.turn.lock();
                    if let Err(error) = self.release(&[], true) {
                        tracing::debug!(%error, "a member left unheard; its lease ends by itself");
                    }
                    self.state.lock().left = true;
                    self.turned.notify_all();
                    return;
                }
                Step::Nothing => {}
            }
        }
    }

    fn lose(&self, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        self.owner.losing(places);
        self.shared.owned.lock().retain(|place, _| !places.contains(place));
        self.state.lock().have.retain(|place| !places.contains(place));
    }

    fn give(&self, give: &[Place]) {
        if give.is_empty() {
            return;
        }
        let _turn = self.turn.lock();
        // Unheard, it still has them as far as others know: they are given back when it is heard again.
        if let Err(error) = self.release(give, false) {
            tracing::debug!(%error, "partitions could not be given back");
            return self.shared.pause(AGAIN);
        }
        let mut state = self.state.lock();
        state.granted.retain(|place| !give.contains(place));
        state.excess = 0;
    }

    fn own(&self, places: &[Place]) {
        let mut owned = self.shared.owned.lock();
        for place in places {
            owned.insert(*place, Owned { consumer: self.consumer.clone(), member: self.name.clone(), seat: 0 });
        }
    }

    /// Something has changed: it speaks at once.
    pub(super) fn beat_soon(&self) {
        self.state.lock().soon = true;
        self.turned.notify_all();
    }
}

/// A place in a group; dropped, it is left.
struct Held {
    member: Arc<Member>,
    threads: Vec<JoinHandle<()>>,
}

/// Joins a group.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn join(
    shared: &Arc<Shared>,
    consumer: &str,
    streams: &[StreamId],
    owner: Arc<dyn Owner>,
) -> Result<Box<dyn Membership>, LogError> {
    let partitions = |id: &StreamId| {
        let stream = shared.catalog.get(*id);
        let name = stream.name.clone();
        let id = *id;
        (0..stream.partitions).map(move |p| ((id, p), format!("{name}/{p}")))
    };
    let (state, turned, turn) = Default::default();
    let name = format!("{}-{}", shared.token, super::fresh_token());
    let all = streams.iter().flat_map(partitions).collect();
    let consumer = consumer.to_owned();
    let member = Arc::new(Member { shared: shared.clone(), consumer, name, all, owner, state, turned, turn });
    shared.members.lock().push(Arc::downgrade(&member));
    let mut held = Held { member: member.clone(), threads: Vec::new() };
    let of = member.clone();
    held.threads.push(super::spawn("redis-owner", move || of.tell())?);
    held.threads.push(super::spawn("redis-member", move || member.beat())?);
    Ok(Box::new(held))
}

impl Membership for Held {
    fn partitions(&self) -> Vec<Place> {
        self.member.state.lock().have.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.member.state.lock().leaving = true;
        self.member.turned.notify_all();
        // First the one that speaks with the owner; the other must end even where the owner panicked.
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the membership panicked");
            }
            self.member.state.lock().left = true;
            self.member.turned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_given_goes_before_anything_is_gained() {
        let place = |p: &u32| (StreamId(0), *p);
        let all = |of: &[u32]| of.iter().map(place).collect::<Vec<_>>();
        let lose = |places: &[u32], give: &[u32]| Step::Lose { places: all(places), give: all(give) };
        let cases: [(&[u32], usize, &[u32], Step); 6] = [
            (&[], 0, &[], Step::Nothing),
            (&[1, 2], 0, &[], Step::Gain(all(&[1, 2]))),
            (&[1, 2], 0, &[1, 2], Step::Nothing),
            (&[1, 2, 3], 1, &[1, 2], lose(&[], &[3])),
            (&[1, 2, 3], 2, &[1, 2, 3], lose(&[3, 2], &[3, 2])),
            (&[2, 4], 0, &[1, 2], lose(&[1], &[])),
        ];
        for (granted, excess, have, expected) in cases {
            let state = State { granted: all(granted), excess, have: all(have), ..State::default() };
            assert_eq!(state.step(), expected, "{granted:?} {excess} {have:?}");
        }
    }
}
