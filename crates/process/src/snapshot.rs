//! A state as bytes, for the store's snapshots.
//!
//! Layout: version (1 byte), the program's fingerprint (8 bytes, little endian), then for each rule: keys evicted so
//! far, number of keys, and the keys, least recently used first. A key: its length, plus 65 536 times that of its
//! tenant's name; the bytes of that name (none for the default tenant) and its own; its newest time; 0, or 1 and the end
//! of its silence; the number of times, and each time as the step from the one before it (the first from the newest time
//! backward). Numbers are LEB128, times zigzag besides.

use std::collections::VecDeque;

use crate::keys::{Keys, Owner};
use crate::track::Track;
use crate::{Program, RuleError, State};

const VERSION: u8 = 1;

impl Program {
    /// Writes a state of this program down, behind what `out` holds. Equal states give equal bytes.
    pub fn encode(&self, state: &State, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.fingerprint().to_le_bytes());
        let fresh = Keys::default();
        for rule in 0..self.rules.len() {
            let keys = state.rules.get(rule).unwrap_or(&fresh);
            put(out, keys.evicted);
            put(out, keys.len() as u64);
            for (Owner { tenant, key }, track) in keys.iter() {
                put(out, key.len() as u64 | (tenant.len() as u64) << 16);
                out.extend_from_slice(tenant);
                out.extend_from_slice(key);
                put_track(out, track);
            }
        }
    }

    /// Reads a state of this program.
    ///
    /// # Errors
    /// When the bytes are of another version or of other rules, or are no state at all.
    pub fn decode(&self, bytes: &[u8]) -> Result<State, RuleError> {
        let refuse = |message: &str| RuleError {
            rule: String::new(),
            field: "snapshot".to_owned(),
            message: message.to_owned(),
        };
        let (head, rest) = bytes.split_first_chunk::<9>().ok_or_else(|| refuse("too short"))?;
        if head[0] != VERSION {
            return Err(refuse("of another version"));
        }
        if head[1..] != self.fingerprint().to_le_bytes() {
            return Err(refuse("of other rules"));
        }
        let mut reader = Reader(rest);
        let state = self.read_state(&mut reader).filter(|_| reader.0.is_empty());
        state.ok_or_else(|| refuse("the bytes are no state"))
    }

    fn read_state(&self, reader: &mut Reader<'_>) -> Option<State> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for _ in 0..self.rules.len() {
            let mut keys = Keys::default();
            keys.evicted = reader.number()?;
            for _ in 0..reader.number()? {
                let lengths = reader.number()?;
                let tenant = reader.bytes(u64::from(u16::try_from(lengths >> 16).ok()?))?;
                let owner = Owner { tenant, key: reader.bytes(lengths & 0xffff)? };
                keys.restore(self.hash(owner), owner, reader.track()?);
            }
            rules.push(keys);
        }
        Some(State { rules })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn put_track(out: &mut Vec<u8>, track: &Track) {
    put(out, zigzag(track.newest));
    out.push(u8::from(track.quiet_until.is_some()));
    if let Some(until) = track.quiet_until {
        put(out, zigzag(until.wrapping_sub(track.newest)));
    }
    put(out, track.times.len() as u64);
    let mut before = track.newest;
    for time in track.times.iter().rev() {
        put(out, zigzag(before.wrapping_sub(*time)));
        before = *time;
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn track(&mut self) -> Option<Track> {
        let newest = self.signed()?;
        let quiet_until = match self.bytes(1)? {
            [0] => None,
            _ => Some(newest.wrapping_add(self.signed()?)),
        };
        let mut times = VecDeque::new();
        let mut before = newest;
        for _ in 0..self.number()? {
            before = before.wrapping_sub(self.signed()?);
            times.push_front(before);
        }
        Some(Track { newest, quiet_until, times })
    }
}
