//! A group of requests as one call of the script `append`, byte for byte as it goes over the wire, and its answer back.

use event::{Batch, Catalog, Millis, NO_TIME, StreamId};

use crate::{Append, Placed, PlacedRange};

/// What the script is told of a stream.
pub(super) struct Bounds<'a> {
    pub(super) catalog: &'a Catalog,
    /// Records that may wait for a consumer.
    pub(super) max_len: u64,
}

/// A call in Redis' protocol.
#[derive(Default)]
struct Call {
    bytes: Vec<u8>,
    args: usize,
}

impl Call {
    fn put(&mut self, arg: &[u8]) {
        let mut digits = [0; 20];
        self.bytes.push(b'$');
        self.bytes.extend_from_slice(decimal(arg.len() as u64, &mut digits));
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(arg);
        self.bytes.extend_from_slice(b"\r\n");
        self.args += 1;
    }

    fn number(&mut self, number: u64) {
        self.put(decimal(number, &mut [0; 20]));
    }

    fn time(&mut self, time: Millis) {
        if time < 0 {
            return self.put(time.to_string().as_bytes());
        }
        self.number(time as u64);
    }

    fn finish(self) -> Vec<u8> {
        let mut out = format!("*{}\r\n", self.args).into_bytes();
        out.extend_from_slice(&self.bytes);
        out
    }
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The call for these requests. `number` counts the groups of a writer: one that came already is not appended again.
pub(super) fn encode(
    hash: &str,
    prefix: &str,
    writer: &str,
    number: u64,
    now: Millis,
    bounds: &Bounds<'_>,
    requests: &[Append],
) -> Vec<u8> {
    let mut call = Call::default();
    for word in ["EVALSHA", hash, "1", prefix, writer] {
        call.put(word.as_bytes());
    }
    call.number(number);
    call.time(now);
    let mut streams: Vec<StreamId> = requests.iter().flat_map(|r| r.batches.iter().map(|b| b.stream)).collect();
    streams.sort_unstable();
    streams.dedup();
    call.number(streams.len() as u64);
    for id in &streams {
        let stream = bounds.catalog.get(*id);
        // What nobody processes is bounded by its retention.
        let max = if *id == bounds.catalog.answers() { 0 } else { bounds.max_len };
        call.put(stream.name.as_bytes());
        call.number(max);
        call.time(stream.dedup.map_or(0, |dedup| dedup.within_ms));
        call.number(stream.dedup.map_or(0, |dedup| dedup.ids_max as u64));
    }
    call.number(requests.len() as u64);
    for request in requests {
        call.number(request.batches.len() as u64);
        for batch in &request.batches {
            call.number(1 + streams.binary_search(&batch.stream).unwrap_or_default() as u64);
            call.time(batch.taken_at.unwrap_or(now));
            call.number(batch.drafts.len() as u64);
        }
        request.batches.iter().for_each(|batch| records(&mut call, batch));
    }
    call.finish()
}

fn records(call: &mut Call, batch: &Batch) {
    for draft in &batch.drafts {
        call.number(u64::from(draft.partition));
        let hash = draft.id_hash.to_be_bytes();
        call.put(if draft.id_hash == 0 { b"" } else { &hash });
        for span in [draft.data, draft.key, draft.kind, draft.id] {
            call.put(batch.slice(span));
        }
        if draft.time == NO_TIME {
            call.put(b"");
        } else {
            call.time(draft.time);
        }
        call.put(batch.slice(draft.headers));
    }
}

/// What became of each request: `None` where there was no room.
type Answers = Vec<Option<Vec<Placed>>>;

/// What an answer says; `None` when it is none.
pub(super) fn decode(answer: &str) -> Option<Answers> {
    let request = |text: &str| {
        if text == "busy" {
            return Some(None);
        }
        let batches: Option<Vec<Placed>> = text.split('|').filter(|batch| !batch.is_empty()).map(placed).collect();
        batches.map(Some)
    };
    answer.split(';').map(request).collect()
}

fn placed(text: &str) -> Option<Placed> {
    let (ranges, duplicates) = text.split_once('/')?;
    let range = |text: &str| {
        let mut parts = text.split(',');
        let mut next = || parts.next()?.parse().ok();
        let (partition, first, last): (u64, u64, u64) = (next()?, next()?, next()?);
        Some(PlacedRange { partition: u32::try_from(partition).ok()?, first, last })
    };
    let mut ranges: Vec<PlacedRange> = ranges.split_ascii_whitespace().map(range).collect::<Option<_>>()?;
    ranges.sort_unstable_by_key(|range| range.partition);
    let duplicates = duplicates.split_ascii_whitespace().map(|index| index.parse().ok()).collect::<Option<_>>()?;
    Some(Placed { ranges, duplicates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_back() {
        let range = |partition, first, last| PlacedRange { partition, first, last };
        let one = Placed { ranges: vec![range(0, 2, 2), range(3, 7, 9)], duplicates: vec![1, 4] };
        let two = Placed { ranges: vec![range(0, 0, 0)], duplicates: vec![] };
        let none = Placed { ranges: vec![], duplicates: vec![0] };
        let cases: [(&str, Option<Answers>); 6] = [
            ("busy", Some(vec![None])),
            ("3,7,9 0,2,2/1 4", Some(vec![Some(vec![one.clone()])])),
            ("3,7,9 0,2,2/1 4|0,0,0/;busy;/0", Some(vec![Some(vec![one, two]), None, Some(vec![none])])),
            ("", Some(vec![Some(vec![])])),
            ("1,2/", None),
            ("nonsense", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 1_000_000, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
