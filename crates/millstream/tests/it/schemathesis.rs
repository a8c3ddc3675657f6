//! The OpenAPI document against the product: schemathesis makes up requests from it, good and bad ones, and every answer must
//! be one that the document has; none may be an error of the server.
//!
//! `MILLSTREAM_TEST_SCHEMATHESIS` names a folder with the package, a `PYTHONPATH`; `cargo xtask test` installs it.

use std::path::Path;
use std::process::Command;

use crate::product::{Product, folder};

/// Requests for each operation, in the phase that makes them up; with the others there are about half as many again.
const EXAMPLES: &str = "60";
/// What there must be at least, over all.
const CASES: u64 = 2_000;
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_have() {
    let Some(packages) = std::env::var_os("MILLSTREAM_TEST_SCHEMATHESIS") else {
        assert!(std::env::var_os("CI").is_none(), "MILLSTREAM_TEST_SCHEMATHESIS is not set");
        println!("skipped: MILLSTREAM_TEST_SCHEMATHESIS names no folder with schemathesis");
        return;
    };
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let output = Command::new("python3")
        .arg(Path::new(&packages).join("bin/schemathesis"))
        .args(["run", &product.url("/openapi.json"), "--phases", "examples,coverage,fuzzing", "-n", EXAMPLES])
        // A stream without an end is no case for it; the tests of `query` and `http` have it.
        .args(["--checks", CHECKS, "--exclude-path", "/v1/live", "--continue-on-failure", "--no-color"])
        .env("PYTHONPATH", &packages)
        .env_remove("CI")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let generated = said.lines().find_map(|line| line.trim().split_once(" generated, ")?.0.parse::<u64>().ok());
    assert!(generated.is_some_and(|cases| cases >= CASES), "{generated:?} cases\n{said}");
    product.stop();
}
