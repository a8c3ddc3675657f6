//! A stock Python gRPC client with stubs made from the `.proto`: calls, errors, health, reflection, and a drain under it.
//!
//! `MILLSTREAM_TEST_GRPC_PYTHON` names a folder with its packages, a `PYTHONPATH`; `cargo xtask test` installs them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::product::{Product, folder};

/// The script, ready to start; `None` when its packages are not at hand.
#[expect(clippy::print_stdout, reason = "a person shall see what was not tested")]
fn client(product: &Product) -> Option<Command> {
    const VARIABLE: &str = "MILLSTREAM_TEST_GRPC_PYTHON";
    let Some(packages) = std::env::var_os(VARIABLE) else {
        assert!(std::env::var_os("CI").is_none(), "{VARIABLE} is not set");
        println!("skipped: {VARIABLE} names no folder with grpcio and grpcio-tools");
        return None;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(here.join("tests/clients/grpc_client.py"));
    command.arg(product.clients.trim_start_matches("http://")).arg(here.join("../collect/proto"));
    command.env("PYTHONPATH", packages);
    Some(command)
}

#[test]
fn a_python_grpc_client_made_from_the_proto_is_served() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(mut client) = client(&product) else { return };
    let output = client.output().expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["health"], "SERVING");
    let services = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "millstream.v1.Collector"];
    assert_eq!(told["services"], json!(services));

    let publish = &told["publish"];
    let counts = [&publish["accepted"], &publish["duplicates"], &publish["rejected"]];
    assert_eq!(counts, [&json!(10_001), &json!(1), &json!(1)], "{publish}");
    assert_eq!(publish["rejections"], json!([[1001, 1, "invalid_json"]]));
    let acked: Vec<u64> = serde_json::from_value(publish["acked"].clone()).expect("sequences");
    assert!(acked.is_sorted_by(|a, b| a < b) && acked.last() == Some(&1001), "{acked:?}");
    assert_eq!(told["batch"], json!([1, 1, "not_an_object", 1]));

    let unknown = &told["unknown_stream"];
    assert_eq!([&unknown["code"], &unknown["details"]], [&json!("NOT_FOUND"), &json!(true)], "{unknown}");
    assert_eq!(told["other_method"]["code"], "UNIMPLEMENTED");
    assert_eq!(told["absent_service"]["code"], "UNIMPLEMENTED");

    product.caught_up();
    let page = product.ask("/v1/events?stream=events&key=l-7&limit=1000");
    assert_eq!(page["events"].as_array().expect("events").len(), 200);
    product.stop();
}

#[test]
fn a_drain_ends_a_call_that_a_python_grpc_client_holds_open() {
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let Some(mut client) = client(&product) else { return };
    let mut child = client.arg("hold").stdout(Stdio::piped()).spawn().expect("the client starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "1", "its batch is acknowledged");
    product.stop();
    let ended: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!([&ended["code"], &ended["details"]], [&json!("UNAVAILABLE"), &json!(true)], "{ended}");
    assert!(child.wait().expect("it ends").success());
}
