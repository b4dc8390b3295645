//! Generates Rust from the .proto files, without protoc.

use std::{error::Error, path::PathBuf};

const FILES: [&str; 2] = ["openfoundry/oms/v1/oms.proto", "google/rpc/error_details.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=openfoundry");
    println!("cargo::rerun-if-changed=google");
    let files = protox::compile(FILES, ["."])?;
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("oms.binpb");
    let compiled = prost::Message::encode_to_vec(&files);
    // What generates the services has cargo watch this file: written each time, everything would be built each time.
    if std::fs::read(&descriptors).map_or(true, |present| present != compiled) {
        std::fs::write(&descriptors, compiled)?;
    }
    #[cfg(feature = "server")]
    connectrpc_build::Config::new().descriptor_set(descriptors).files(&FILES).include_file("server.rs").compile()?;
    #[cfg(feature = "client")]
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}
