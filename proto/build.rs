//! Generates the control API from the `.proto` files in pure Rust: no `protoc` is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

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
        "token",
        "notice",
        "watch",
    ]
    .map(|name| format!("leadline/control/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=leadline");
    let mut compiler = protox::Compiler::new(["."])?;
    let compiled = compiler.include_imports(true).open_files(files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the descriptors, and the daemon reads its rules in them: here they keep options of our own, which
    // the types that code is generated from do not know.
    fs::write(out.join("control.bin"), compiled.encode_file_descriptor_set())?;
    let descriptors = compiled.file_descriptor_set();
    tonic_prost_build::configure()
        .boxed(".leadline.control.v1.Activity.what.attempt")
        .compile_fds(descriptors)?;
    Ok(())
}
