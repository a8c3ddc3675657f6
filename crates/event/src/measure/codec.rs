//! A measure as bytes: its kind (1 byte), then its parts. Equal measures give equal bytes.
//!
//! | kind | parts |
//! |---|---|
//! | 0 count | the number |
//! | 1 sum | the total: its length (1 byte), two's complement, lowest byte first |
//! | 2 min, 3 max | 0, or 1 and an `f64` (8 bytes) |
//! | 4 mean | the total, the count |
//! | 5 distinct | see [`super::distinct`] |
//! | 6 quantile | which (8 bytes), and see [`super::quantile`] |
//!
//! Numbers are LEB128, fixed ones little endian.

use super::{Distinct, Measure, Sketch, Total};
use crate::varint;

impl Measure {
    /// Writes it down, behind what `out` holds.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Count(count) => {
                out.push(0);
                varint::put(out, *count);
            }
            Self::Sum(total) => {
                out.push(1);
                total.encode(out);
            }
            Self::Min(value) => put_option(out, 2, *value),
            Self::Max(value) => put_option(out, 3, *value),
            Self::Mean { total, count } => {
                out.push(4);
                total.encode(out);
                varint::put(out, *count);
            }
            Self::Distinct(distinct) => {
                out.push(5);
                distinct.encode(out);
            }
            Self::Quantile { q, sketch } => {
                out.push(6);
                out.extend_from_slice(&q.to_le_bytes());
                sketch.encode(out);
            }
        }
    }

    /// Reads what [`Measure::encode`] wrote and moves past it; `None` when the bytes are no measure. Takes no more memory
    /// than a few times the bytes, or 64 KiB.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let kind = varint::take_bytes(bytes, 1)?.first()?;
        Some(match kind {
            0 => Self::Count(varint::take(bytes)?),
            1 => Self::Sum(Total::decode(bytes)?),
            2 => Self::Min(take_option(bytes)?),
            3 => Self::Max(take_option(bytes)?),
            4 => Self::Mean { total: Total::decode(bytes)?, count: varint::take(bytes)? },
            5 => Self::Distinct(Distinct::decode(bytes)?),
            6 => Self::Quantile {
                q: take_f64(bytes).filter(|q| (0.0..=1.0).contains(q))?,
                sketch: Sketch::decode(bytes)?,
            },
            _ => return None,
        })
    }
}

fn put_option(out: &mut Vec<u8>, kind: u8, value: Option<f64>) {
    out.extend_from_slice(&[kind, u8::from(value.is_some())]);
    out.extend(value.map(f64::to_le_bytes).into_iter().flatten());
}

fn take_option(bytes: &mut &[u8]) -> Option<Option<f64>> {
    match varint::take_bytes(bytes, 1)? {
        [0] => Some(None),
        [1] => take_f64(bytes).filter(|value| value.is_finite()).map(Some),
        _ => None,
    }
}

fn take_f64(bytes: &mut &[u8]) -> Option<f64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*number))
}
