//! A receiver to try Leadline with: prints every request that arrives and answers 200.
//! `cargo run -p leadline-fakes --example receiver`, on port 9000 of this machine or the one given.

use std::{
    error::Error,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
};

use leadline_fakes::{Behaviour, Receiver};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(9000), |port| port.parse())?;
    let receiver = Receiver::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Behaviour::Good).await?;
    let mut out = io::stdout();
    writeln!(out, "listening on {}", receiver.url("/"))?;
    for seen in 0.. {
        let requests = receiver.wait_for(seen + 1).await;
        let request = &requests[seen];
        writeln!(out, "\n{} {}", request.method, request.path)?;
        for (name, value) in &request.headers {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out, "\n{}", String::from_utf8_lossy(&request.body))?;
    }
    Ok(())
}
