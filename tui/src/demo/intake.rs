//! Brings leads to the daemon over HTTP, as a form on a web site would.

use std::{fmt, net::SocketAddr, time::Duration};

use leadline_fakes::sample_lead;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::CliError;

const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The HTTP door of the demo's daemon, with the key to it.
#[derive(Debug)]
pub(super) struct Intake {
    client: Client,
    address: SocketAddr,
    key: String,
}

impl Intake {
    pub(super) fn new(address: SocketAddr, key: String) -> Result<Self, CliError> {
        // The daemon is on this machine: no proxy leads to it.
        let client = Client::builder().no_proxy().timeout(ANSWER_MAX).build();
        let client = client.map_err(|error| CliError::Failed(format!("cannot post leads: {error}")))?;
        Ok(Self { client, address, key })
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
        let failed = |what: &dyn fmt::Display| {
            CliError::Failed(format!("cannot post a lead to {}: {what}", self.address))
        };
        let url = format!("http://{}/v1/leads", self.address);
        let answer = self.client.post(url).bearer_auth(&self.key).json(lead).send().await;
        let answer = answer.map_err(|error| failed(&error))?;
        match answer.status() {
            StatusCode::ACCEPTED => Ok(()),
            status => {
                let body = answer.text().await.map_err(|error| failed(&error))?;
                Err(failed(&format_args!("{status}: {body}")))
            }
        }
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
        let intake = Intake::new(daemon.address(), "llk_x".to_owned()).unwrap();
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
