//! The gRPC door's code from its `.proto`, without a protoc on the machine: protox is one in Rust.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/millstream/v1/collector.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    // For reflection.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    #[expect(clippy::disallowed_methods, reason = "the build writes where cargo tells it to")]
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // `bytes` as `Bytes`: the events stay in the buffer that they came in.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
