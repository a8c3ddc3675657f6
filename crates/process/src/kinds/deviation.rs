//! `deviation`: a measure far from its own moving mean.
//!
//! Mean and variance are exponentially weighted, as T. Finch has them («Incremental calculation of weighted mean and
//! variance», 2009, section 9), with `alpha = 2 / (span + 1)`; for a value `x`:
//!
//! ```text
//! step     = alpha * (x - mean)
//! variance = (1 - alpha) * (variance + (x - mean) * step)
//! mean     = mean + step
//! ```
//!
//! A key's first value is its mean, with no variance. A value is judged by what was known before it, then it is learned,
//! far or not, in the log's order. It is far when `|x - mean| > z * sqrt(variance)`; when all before it were equal, every
//! other value is, and `z` tells no number. The first `warm_up` values of a key are only learned. A record without a
//! number is passed over, and so is one beyond ±1e150, whose square is no number any more. All steps are those of IEEE
//! 754: every machine finds the same.

use event::Millis;

use super::silence::Silence;
use super::{Asked, Memory};
use crate::expr::Expr;
use crate::keys::Track;
use crate::row::{Row, Told};
use crate::value::Value;
use crate::wire::{self, Reader};

/// What a rule of this kind can tell: the mean and the standard deviation are those before this value.
pub(crate) const NAMES: &[&str] = &["value", "mean", "deviation", "z"];

const SIZE_MAX: f64 = 1e150;

#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) of: Expr,
    pub(crate) z: f64,
    pub(crate) alpha: f64,
    pub(crate) warm_up: u64,
}

/// The memory of one key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    silence: Silence,
    /// Values learned, up to the warm-up.
    seen: u64,
    mean: f64,
    variance: f64,
}

impl Deviation {
    pub(crate) fn judge<'a>(
        &'a self,
        memory: &mut Memory,
        row: &mut Row<'a>,
        asked: &mut Asked<'a>,
    ) -> Option<Told<'a>> {
        let Memory::Deviation(keys) = memory else {
            return None;
        };
        let value = self.of.eval(row);
        let x = value.as_double().filter(|x| x.abs() <= SIZE_MAX)?;
        let (time, cooldown) = (row.record.time, asked.cooldown_ms);
        let (owner, hash) = asked.who(&row.record);
        let [mean, deviation, z] =
            keys.update(asked.bounds, hash, owner, |moments| moments.take(x, time, self, cooldown))?;
        Some([value, Value::Double(mean), Value::Double(deviation), Value::Double(z)])
    }
}

impl Moments {
    /// Takes a value; gives mean, standard deviation and distance when the rule fires.
    fn take(&mut self, x: f64, time: Millis, rule: &Deviation, cooldown_ms: Millis) -> Option<[f64; 3]> {
        self.silence.see(time);
        let (mean, deviation, distance) = (self.mean, self.variance.sqrt(), (x - self.mean).abs());
        let learns = self.seen < rule.warm_up;
        if self.seen == 0 {
            self.mean = x;
        } else {
            let step = rule.alpha * (x - mean);
            self.variance = (1.0 - rule.alpha) * (self.variance + (x - mean) * step);
            self.mean = mean + step;
        }
        self.seen += u64::from(learns);
        let far = !learns && distance > rule.z * deviation && self.silence.fire(cooldown_ms);
        far.then(|| [mean, deviation, distance / deviation])
    }
}

impl Track for Moments {
    fn encode(&self, out: &mut Vec<u8>) {
        self.silence.encode(out);
        wire::put(out, self.seen);
        wire::put_double(out, self.mean);
        wire::put_double(out, self.variance);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (silence, seen) = (Silence::decode(reader)?, reader.number()?);
        Some(Self { silence, seen, mean: reader.double()?, variance: reader.double()? })
    }
}
