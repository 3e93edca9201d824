//! Compiles the contract in `xinqiao/v1` into wire types, without needing `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("xinqiao/v1"))?
        .map(|entry| entry.map(|found| found.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    println!("cargo:rerun-if-changed=xinqiao/v1");

    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("xinqiao.v1.bin"), descriptors.encode_to_vec())?;

    // Pure crates take the messages alone; tonic comes in with the `grpc` feature only.
    let services = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        .bytes(".xinqiao.v1.FetchPartResponse.chunk")
        .bytes(".xinqiao.v1.RelayPartResponse.chunk")
        .compile_fds(descriptors)?;
    Ok(())
}
