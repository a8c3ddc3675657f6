//! Properties of taking bodies apart: whatever comes in, every event has one verdict, and what is taken is JSON.

use bytes::Bytes;
use collect::{Envelope, Format, IntakeError, Sifted, Sifter};
use event::{Batch, Catalog, Draft};
use log::IdHasher;
use proptest::prelude::*;

use crate::house::{NOW, streams};

fn sift(stream: &str, body: &[u8], format: Format) -> Result<Sifted, IntakeError> {
    let catalog = Catalog::new(streams()).unwrap();
    let id = catalog.find(stream).unwrap();
    let hasher = IdHasher::new(7);
    let envelope = Envelope { tenant: "", format, request_id: "r", now: NOW, keyless_partition: 1, hasher };
    Sifter::new(id, catalog.get(id), catalog.refused()).sift(&Bytes::copy_from_slice(body), envelope)
}

/// By its grammar: numbers of any size.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok()
}

/// Everything that the log will keep of a draft.
fn kept<'a>(batch: &'a Batch, draft: &Draft) -> (u32, i64, u128, [&'a [u8]; 4]) {
    let parts = [draft.data, draft.key, draft.id, draft.kind].map(|span| batch.slice(span));
    (draft.partition, draft.time, draft.id_hash, parts)
}

fn all_kept(sifted: &Sifted) -> Vec<(u32, i64, u128, [&[u8]; 4])> {
    sifted.batch.drafts.iter().map(|draft| kept(&sifted.batch, draft)).collect()
}

/// One line that is a good signal, nearly one, or nothing of the kind.
fn line() -> impl Strategy<Value = String> {
    let user = prop_oneof![Just("7".to_owned()), Just("\"x\"".to_owned()), Just("null".to_owned()), "[0-9]{1,20}"];
    let kind = prop_oneof![Just("click"), Just("login"), Just("cl\\u0069ck"), Just("dance")];
    let time = prop_oneof![Just(NOW), Just(NOW + 400_000), any::<i64>()];
    let signal = (user, kind, time, "[a-z\\\\\"é ]{0,3}").prop_map(|(user, kind, time, junk)| {
        format!("{{\"user_id\":{user},\"event_id\":\"{user}{junk}\",\"type\":\"{kind}\",\"timestamp\":{time},\"payload\":{{}}}}")
            .replace("\"\"", "\"")
    });
    let good = any::<u16>().prop_map(|id| {
        format!("{{\"user_id\": {id},\"event_id\":\"\\u0065{id}\",\"type\":\"click\",\"timestamp\":{NOW},\"payload\":{{\"a\":[1]}}}}")
    });
    prop_oneof![4 => good, 4 => signal, 1 => "[\\[\\]{}\":,0-9a-z ]{1,12}", 1 => Just("42".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_line_has_one_verdict(lines in prop::collection::vec(line(), 1..20)) {
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
        prop_assume!(!lines.is_empty());
        let sifted = sift("signals", lines.join("\n").as_bytes(), Format::Ndjson).unwrap();
        prop_assert_eq!(sifted.batch.drafts.len() + sifted.refused.drafts.len(), lines.len());
        prop_assert_eq!(sifted.listed.len(), sifted.refused.drafts.len());
        for draft in &sifted.batch.drafts {
            let data = sifted.batch.slice(draft.data);
            let event: serde_json::Value = serde_json::from_slice(data).unwrap();
            let user = event["user_id"].to_string();
            prop_assert_eq!(sifted.batch.slice(draft.key), user.as_bytes());
            prop_assert_eq!(sifted.batch.slice(draft.id), event["event_id"].as_str().unwrap().as_bytes());
            prop_assert_eq!(Some(draft.time), event["timestamp"].as_i64());
        }
        for (rejected, draft) in sifted.listed.iter().zip(&sifted.refused.drafts) {
            prop_assert_eq!(sifted.refused.slice(draft.data), lines[rejected.index as usize].trim_ascii().as_bytes());
        }
    }

    #[test]
    fn the_format_of_a_body_changes_no_verdict(lines in prop::collection::vec(line(), 1..20)) {
        let lines: Vec<String> =
            lines.into_iter().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).collect();
        prop_assume!(!lines.is_empty());
        let ndjson = sift("signals", lines.join("\n").as_bytes(), Format::Ndjson).unwrap();
        let array = sift("signals", format!("[{}]", lines.join(" ,\n")).as_bytes(), Format::Json).unwrap();
        prop_assert_eq!(all_kept(&ndjson), all_kept(&array));
        let told = |sifted: &Sifted| -> Vec<_> {
            sifted.listed.iter().map(|r| (r.index, r.code, r.pointer.clone(), r.message.clone())).collect()
        };
        prop_assert_eq!(told(&ndjson), told(&array));
    }

    #[test]
    fn no_bytes_break_it(mut body in prop::collection::vec(line(), 1..6).prop_map(|l| format!("[{}]", l.join(",")).into_bytes()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for format in [Format::Json, Format::Ndjson] {
            let Ok(sifted) = sift("signals", &body, format) else { continue };
            for draft in &sifted.batch.drafts {
                let data = sifted.batch.slice(draft.data);
                prop_assert!(is_json(data) && data.starts_with(b"{"), "{}", String::from_utf8_lossy(data));
            }
            if format == Format::Json {
                prop_assert!(is_json(&body));
            }
        }
    }
}
