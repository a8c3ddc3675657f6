//! What partitions hand over of windows and absences: by the clock when nothing comes any more, and anew when a definition
//! changes. Whatever is killed or reconfigured then, nothing is counted twice and nothing is left out.

use event::Millis;
use serde_json::{Value, json};

use crate::product::{Product, folder, free_port, run_json, until, write};

/// 2024-03-04T12:00:00Z
const NOON: Millis = 1_709_553_600_000;

const STREAM: &str = r#"
streams:
  visits: { partitions: 2, key: who, time: { field: at, unit: ms }, id: id }
rules:
  - name: gone
    stream: visits
    absence: { after: 10m }
"#;

const WINDOWS: &str = r#"
windows:
  - name: visits_by_person
    stream: visits
    sizes: [1h]
    by: [who]
    measures: { count: count(), paid: sum(paid) }
"#;

fn visit(id: &str, who: &str, after: Millis) -> String {
    format!("{}\n", json!({"id": id, "who": who, "at": NOON + after, "paid": 0.1}))
}

/// What the hour from noon on holds of somebody: events and sum, when it is there.
fn hour(product: &Product, who: &str) -> Option<(Value, Value)> {
    let page = product.ask("/v1/windows?stream=visits&window=visits_by_person");
    let mut rows = page["windows"].as_array().expect("windows").iter();
    let row = rows.find(|row| row["key"]["who"] == who && row["start_ms"] == NOON)?;
    Some((row["values"]["count"].clone(), row["values"]["paid"].clone()))
}

/// When somebody was found to be gone.
fn gone(product: &Product, who: &str) -> Vec<Millis> {
    let page = product.ask(&format!("/v1/anomalies?stream=visits&rule=gone&key={who}"));
    let times = page["anomalies"].as_array().expect("anomalies").iter();
    let mut times: Vec<_> =
        times.map(|a| api::time::from_text(a["time"].as_str().expect("text")).expect("a time") - NOON).collect();
    times.sort_unstable();
    times
}

#[test]
fn what_an_idle_partition_hands_over_is_there_once_after_a_kill_too() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", [STREAM, WINDOWS].concat().as_bytes());
    let listen = format!("127.0.0.1:{}", free_port());
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    let visits = [visit("1", "ann", 0), visit("2", "ann", 60_000), visit("3", "bob", 1_000)];
    product.post_stored("visits", &visits.concat());
    assert_eq!((hour(&product, "ann"), gone(&product, "ann")), (None, vec![]), "an hour that is not over");
    until("nothing came for so long", || hour(&product, "ann").is_some() && hour(&product, "bob").is_some());
    let (two, one) = (Some((json!(2), json!(0.2))), Some((json!(1), json!(0.1))));
    assert_eq!((hour(&product, "ann"), hour(&product, "bob")), (two, one.clone()));
    until("they are gone", || gone(&product, "ann") == [660_000] && gone(&product, "bob") == [601_000]);
    product.kill();

    product = Product::start_at(dir.path(), &listen, &[]);
    // By the partition's own clock the hour is not over.
    product.post_stored("visits", &visit("4", "ann", 120_000));
    let closers = ["ann", "bob"].map(|who| visit(who, who, 7_200_000)).concat();
    product.post_stored("visits", &closers);
    until("the hour is over", || hour(&product, "ann").is_some_and(|(count, _)| count == 3));
    assert_eq!((hour(&product, "ann"), hour(&product, "bob")), (Some((json!(3), json!(0.3))), one));
    assert_eq!((gone(&product, "ann"), gone(&product, "bob")), (vec![660_000, 720_000], vec![601_000]));
    product.kill();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}

#[test]
fn a_window_that_is_taken_out_and_put_back_counts_nothing_twice() {
    let dir = folder();
    let configure = |text: &[&str]| write(dir.path(), "millstream.yaml", text.concat().as_bytes());
    configure(&[STREAM, WINDOWS]);
    let product = Product::start(dir.path(), &[]);
    product.post_stored("visits", &[visit("1", "ann", 0), visit("2", "ann", 60_000)].concat());
    until("nothing came for so long", || hour(&product, "ann").is_some());
    product.stop();

    configure(&[STREAM]);
    let product = Product::start(dir.path(), &[]);
    product.post_stored("visits", &visit("3", "ann", 120_000));
    product.stop();

    configure(&[STREAM, WINDOWS]);
    let product = Product::start(dir.path(), &[]);
    product.post_stored("visits", &visit("4", "ann", 7_200_000));
    until("the hour is over", || hour(&product, "ann").is_some_and(|(count, _)| count != 2));
    assert_eq!(hour(&product, "ann"), Some((json!(3), json!(0.3))));
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}

/// Some keys of either of two partitions, and a window over both.
fn counted(measures: &str) -> String {
    format!(
        "streams:\n  visits: {{ partitions: 2, key: who, time: {{ field: at, unit: ms }}, id: id }}\n\
         windows:\n  - {{ name: all, stream: visits, sizes: [1m], measures: {{ {measures} }} }}\n"
    )
}

#[test]
fn a_window_that_is_changed_is_computed_anew() {
    let dir = folder();
    let start = |measures: &str| {
        write(dir.path(), "millstream.yaml", counted(measures).as_bytes());
        Product::start(dir.path(), &[])
    };
    // Whoever is in which partition, both have somebody.
    let everybody = |minute: Millis| -> String {
        (0..20).map(|who| visit(&format!("{who}-{minute}"), &format!("p{who}"), minute * 60_000)).collect()
    };
    let product = start("count: count()");
    // The first minute is closed by both partitions, the second by one.
    product.post_stored("visits", &[everybody(0), everybody(5)].concat());
    product.post_stored("visits", &visit("ahead", "p0", 9 * 60_000));
    product.stop();

    let product = start("count: count(), paid: sum(paid)");
    product.post_stored("visits", &everybody(15));
    let values = |minute: Millis| -> Value {
        let page = product.ask("/v1/windows?stream=visits");
        let mut rows = page["windows"].as_array().expect("windows").iter();
        rows.find(|row| row["start_ms"] == NOON + minute * 60_000).map_or(Value::Null, |row| row["values"].clone())
    };
    until("the later window is closed", || values(9)["count"] == 1);
    let expected = json!({"count": 20, "paid": 2});
    assert_eq!((values(0), values(5)), (expected.clone(), expected));
    product.stop();
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "data"]);
    assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
}
