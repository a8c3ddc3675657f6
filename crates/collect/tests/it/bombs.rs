//! Bodies that are small on the wire and large inside. Each is refused, soon, and memory stays flat.

use std::io::Read;
use std::process::Command;

use crate::house::{House, gzip};

const GROWTH_MAX_KIB: u64 = 64 << 10;

const BOMBS: [&str; 5] = ["gzip", "gzip_ratio", "zstd", "zstd_ratio", "zstd_window"];

/// Memory is measured for a whole process, so each bomb has a process of its own: this test again, told which.
#[tokio::test]
async fn memory_stays_flat_under_bombs() {
    if let Ok(bomb) = std::env::var("BOMB") {
        return explode(&bomb).await;
    }
    for bomb in BOMBS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["bombs::memory_stays_flat_under_bombs", "--exact", "--nocapture"])
            .env("BOMB", bomb)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{bomb}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("{bomb} grew")), "{bomb} did not run: {said}");
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads that it ran")]
async fn explode(bomb: &str) {
    let zeros = |bytes: u64| std::io::repeat(b'0').take(bytes);
    let frame = |bytes| zstd::encode_all(zeros(bytes), 3).unwrap();
    let (body, encoding, status, words) = match bomb {
        // 10 GiB in 10 MB: the densest that gzip can do.
        "gzip" => (gzip(&vec![b'0'; 10 << 20]).repeat(1_024), "gzip", 413, "after decompression"),
        "gzip_ratio" => (gzip(&vec![b'0'; 10 << 20]), "gzip", 413, "200-fold"),
        "zstd" => (frame(64 << 20).repeat(160), "zstd", 413, "after decompression"),
        "zstd_ratio" => (frame(64 << 20), "zstd", 413, "200-fold"),
        // A frame of nothing that asks for a window of 2 GiB.
        "zstd_window" => (vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 1, 0, 0], "zstd", 400, "cannot be read as zstd"),
        other => panic!("no bomb {other}"),
    };
    let house = House::new();
    let before = peak_kib();
    let answer = house.post_with("events", &[("content-encoding", encoding)], body).await;
    let grew = peak_kib() - before;
    assert_eq!(answer.status, status, "{}", answer.body);
    let message = answer.body["error_message"].as_str().unwrap();
    assert!(message.contains(words), "{message:?}");
    assert!(grew < GROWTH_MAX_KIB, "{grew} KiB");
    println!("{bomb} grew {grew} KiB");
}

/// The most memory that this process ever had resident.
fn peak_kib() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the kernel's figures, no file of ours")]
    let status = std::fs::read("/proc/self/status").unwrap();
    let status = String::from_utf8(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
