//! A state as bytes, for the store's snapshots.
//!
//! Layout: version (1 byte); the clock (0, or 1 and the time); the number of sections; and the sections, one for each rule
//! and then one for each definition of windows: its fingerprint and its length (8 bytes each, little endian), and so many
//! bytes. Numbers are LEB128, times zigzag besides.
//!
//! A section belongs to whatever has its fingerprint today, wherever that stands in the program; the rest are passed
//! over. So a rule that was added, changed or taken away leaves the others as they are. What a section of a rule holds
//! is in [`crate::keys::Keys::encode`] and with its kind.

use event::Millis;

use crate::wire::{self, Reader};
use crate::{Program, Restored, RuleError, State};

const VERSION: u8 = 2;

impl Program {
    /// Writes a state of this program down, behind what `out` holds. Equal states give equal bytes.
    pub fn encode(&self, state: &State, out: &mut Vec<u8>) {
        self.encode_without(state, &[], out);
    }

    /// The same without some of the rules and windows, by their places as in [`Restored::missing`]: they will be missing.
    pub fn encode_without(&self, state: &State, without: &[usize], out: &mut Vec<u8>) {
        out.push(VERSION);
        wire::put_time(out, state.clock.unwrap_or(Millis::MIN), 0);
        let (rules, definitions) = (self.rules.len(), self.windows.definitions());
        let there = |at: &usize| !without.contains(at);
        wire::put(out, (0..rules + definitions).filter(there).count() as u64);
        for (at, rule) in self.rules.iter().enumerate().filter(|(at, _)| there(at)) {
            section(out, self.fingerprints[at], |out| match state.rules.get(at) {
                Some(memory) => memory.encode(out),
                None => rule.kind.fresh().encode(out),
            });
        }
        for at in (0..definitions).filter(|at| there(&(rules + at))) {
            let fingerprint = self.windows.fingerprint(at);
            section(out, fingerprint, |out| self.windows.encode_section(at, &state.windows, out));
        }
    }

    /// Reads a state, of this program or of one that shares some of its rules and windows.
    ///
    /// # Errors
    /// When the bytes are of another version, or are no state at all.
    pub fn decode(&self, bytes: &[u8]) -> Result<Restored, RuleError> {
        let refuse = |message: &str| RuleError {
            rule: String::new(),
            field: "snapshot".to_owned(),
            message: message.to_owned(),
        };
        match bytes.split_first() {
            None => Err(refuse("too short")),
            Some((&VERSION, rest)) => self.read(rest).ok_or_else(|| refuse("the bytes are no state")),
            Some(_) => Err(refuse("of another version")),
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<Restored> {
        let mut reader = Reader(bytes);
        let clock = Some(reader.time(0)?).filter(|clock| *clock != Millis::MIN);
        let mut state = State { clock, ..State::default() };
        self.fit(&mut state);
        let (rules, definitions) = (self.rules.len(), self.windows.definitions());
        let mut missing: Vec<usize> = (0..rules + definitions).collect();
        for _ in 0..reader.number()? {
            let fingerprint = u64::from_le_bytes(reader.fixed()?);
            let len = u64::from_le_bytes(reader.fixed()?);
            let bytes = reader.take(len)?;
            // Two definitions may be alike in all but their place.
            let own = |at: &usize| match at.checked_sub(rules) {
                None => self.fingerprints[*at] == fingerprint,
                Some(at) => self.windows.fingerprint(at) == fingerprint,
            };
            let Some(found) = missing.iter().position(own) else {
                continue;
            };
            let at = missing.remove(found);
            match at.checked_sub(rules) {
                None => {
                    let mut section = Reader(bytes);
                    state.rules[at] = self.rules[at].kind.decode(&mut section, self.fingerprint())?;
                    if !section.0.is_empty() {
                        return None;
                    }
                }
                Some(at) => self.windows.decode_section(at, bytes, &mut state.windows)?,
            }
        }
        reader.0.is_empty().then_some(Restored { state, missing })
    }
}

fn section(out: &mut Vec<u8>, fingerprint: u64, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&fingerprint.to_le_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    write(out);
    let len = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&len.to_le_bytes());
}
