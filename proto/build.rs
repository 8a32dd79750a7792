//! Generates the control API from the `.proto` files in pure Rust: no `protoc` is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "failure",
        "company",
        "integration",
        "delivery",
        "activity",
        "flow",
        "form",
        "hold",
        "intake",
        "job",
        "lead",
        "preview",
        "push",
        "system",
        "audit",
        "notice",
        "watch",
    ]
    .map(|name| format!("leadline/control/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=leadline");
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the descriptors; with protox nothing else writes them.
    fs::write(out.join("control.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .boxed(".leadline.control.v1.Activity.what.attempt")
        .compile_fds(descriptors)?;
    Ok(())
}
