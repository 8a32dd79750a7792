//! Brings leads to the daemon over HTTP, as a form on a web site would.

use std::{net::SocketAddr, time::Duration};

use leadline_fakes::sample_lead;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::cli::CliError;

const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The HTTP door of the demo's daemon, with the key to it.
#[derive(Debug)]
pub(super) struct Intake {
    address: SocketAddr,
    key: String,
}

impl Intake {
    pub(super) fn new(address: SocketAddr, key: String) -> Self {
        Self { address, key }
    }

    /// Posts so many leads at this rate, and tells of each when it is accepted.
    pub(super) async fn stream(
        &self,
        leads: usize,
        rate: f64,
        mut accepted: impl FnMut(&Value) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut pace = interval(Duration::from_secs_f64(rate.recip()));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0..leads {
            pace.tick().await;
            let lead = sample_lead(n);
            self.post(&lead).await?;
            accepted(&lead)?;
        }
        Ok(())
    }

    async fn post(&self, lead: &Value) -> Result<(), CliError> {
        let posting = format!("cannot post a lead to {}", self.address);
        let answer = timeout(ANSWER_MAX, self.exchange(&lead.to_string()))
            .await
            .map_err(|_| CliError::Failed(format!("{posting}: no answer in {} s", ANSWER_MAX.as_secs())))?
            .map_err(CliError::io(posting.clone()))?;
        match answer.split(' ').nth(1) {
            Some("202") => Ok(()),
            _ => {
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                let status = answer.lines().next().unwrap_or("no answer");
                Err(CliError::Failed(format!("{posting}: {status}: {body}")))
            }
        }
    }

    /// One request on a connection of its own, so that the end of the answer is the end of the stream.
    async fn exchange(&self, body: &str) -> std::io::Result<String> {
        let head = format!(
            "POST /v1/leads HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            self.key,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use leadline_fakes::{Behaviour, Receiver, Reply};

    use super::*;

    #[tokio::test]
    async fn leads_are_posted_with_the_key_until_one_is_refused() {
        let script = vec![Reply::status(202), Reply::status(202), Reply::status(422).body("name is missing")];
        let daemon = Receiver::start(Behaviour::Script(script)).await.unwrap();
        let intake = Intake::new(daemon.address(), "llk_x".to_owned());
        let mut accepted = Vec::new();
        let refused = intake
            .stream(9, 1000.0, |lead| {
                accepted.push(lead["lead"]["uuid"].to_string());
                Ok(())
            })
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("422") && refused.ends_with("name is missing"), "{refused}");
        let requests = daemon.requests();
        assert_eq!((accepted.len(), requests.len()), (2, 3));
        let first: Value = serde_json::from_slice(&requests[0].body).unwrap();
        assert_eq!(first["lead"]["uuid"].to_string(), accepted[0]);
        assert_eq!(requests[0].header("authorization"), Some("Bearer llk_x"));
        assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/v1/leads"));
        daemon.stop().await;
    }
}
