//! The binary: everything is in the library beside it.

use std::process::ExitCode;

// One worker beside the main thread: the console draws on one and is connected by the other, and idles cheaply.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    leadline::cli::main().await
}
