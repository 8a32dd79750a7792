//! The binary: everything is in the library beside it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    leadline::cli::main().await
}
