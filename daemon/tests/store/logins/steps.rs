//! What integrations with a login do: they join it, begin and end it, are deleted, and get other credentials.

use std::sync::Mutex;

use leadlined::{
    domain::{integration::ProbeKind, lane::LaneId, outcome::Outcome},
    secrets::{AdditionalData, Sealer, master_key},
    store::{
        Error,
        integration::refresh::{LoginGiven, LoginHash, LoginStart},
        queue::finish::AttemptResult,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::bench::{self, Bench};

pub(super) const LOGIN: LoginHash = [7; 32];
/// The one that is tried meanwhile.
pub(super) const TRIED: LoginHash = [8; 32];

/// What a login gave.
pub(super) fn given(refresh: &str, token: usize) -> LoginGiven {
    LoginGiven { refresh: Some(refresh.into()), token: format!("token {token}").into() }
}

/// What a login begins with: its refresh token, and what there is for calls.
pub(super) fn newest(refresh: &str, token: &str) -> Option<(String, String)> {
    Some((refresh.to_owned(), token.to_owned()))
}

/// The token that the credentials of a login hold.
pub(super) fn own(login: &LoginHash) -> SecretString {
    format!("own {}", login[0]).into()
}

impl Bench {
    /// Another integration of the company.
    pub(super) async fn sibling(&self, name: &str) -> LaneId {
        LaneId::new(self.company, self.integration(self.company, name).await)
    }

    /// An integration is loaded with these credentials.
    pub(super) async fn join(&self, lane: LaneId, login: &LoginHash) {
        self.store.join_login(lane, 1, login, &own(login)).await.unwrap();
    }

    /// Asks for a turn, and takes no token for calls: what there is stands beside.
    pub(super) async fn ask_for_turn(
        &self,
        lane: LaneId,
        login: &LoginHash,
    ) -> Result<(LoginStart<()>, String), Error> {
        let kept = Mutex::new(String::new());
        let read = |token: &SecretString| {
            token.expose_secret().clone_into(&mut kept.lock().unwrap());
            None::<()>
        };
        let version = (*login != TRIED).then_some(1);
        let start = self.store.begin_refresh(lane, version, login, &own(login), &read).await?;
        Ok((start, kept.into_inner().unwrap()))
    }

    pub(super) async fn begin_login(&self, lane: LaneId, login: &LoginHash) -> Option<(String, String)> {
        match self.ask_for_turn(lane, login).await.unwrap() {
            (LoginStart::Begun(turn), token) => Some((turn.refresh.expose_secret().to_owned(), token)),
            (LoginStart::Busy, _) => None,
            (start, _) => panic!("{start:?}"),
        }
    }

    /// Ends the turn that began last.
    pub(super) async fn end_login(&self, login: &LoginHash, given: Option<&LoginGiven>) {
        let turns = "SELECT turn FROM login WHERE id = $1";
        let id = uuid::Uuid::from_slice(&login[..16]).unwrap();
        let number = sqlx::query_scalar(turns).bind(id).fetch_one(&self.pool).await.unwrap();
        self.end_turn(login, number, given).await;
    }

    pub(super) async fn end_turn(&self, login: &LoginHash, number: i64, given: Option<&LoginGiven>) {
        self.store.end_refresh(login, number, given).await.unwrap();
    }

    /// Whoever logs in does so for longer than the turn lasts.
    pub(super) async fn let_turns_run_out(&self) {
        self.sql("UPDATE login SET refreshing_until = now() - interval '1 second'").await;
    }

    /// For so many days nobody logs in.
    pub(super) async fn wait_days(&self, days: u32) {
        self.sql(&format!("UPDATE login SET refreshing_until = now() - interval '{days} days'")).await;
        self.store.finish_deletions().await.unwrap();
    }

    /// A login that is good.
    pub(super) async fn log_in(&self, lane: LaneId, login: &LoginHash, given: &LoginGiven) {
        self.begin_login(lane, login).await.unwrap();
        self.end_login(login, Some(given)).await;
    }

    /// New credentials are tried with success, or not; they have this login.
    pub(super) async fn try_credentials(&self, lane: LaneId, login: Option<&LoginHash>, outcome: Outcome) {
        let mut command = self.command().await;
        let candidate = json!({ "token": "new" });
        command.request_probe(lane, ProbeKind::Credentials, Some(&candidate)).await.unwrap();
        command.commit().await.unwrap();
        let probe = self.store.take_probes(self.daemon, |_| true).await.unwrap().probes.remove(0);
        let result = AttemptResult::without_call(outcome);
        self.store.finish_probe(&probe, &result, 1, None, ("", login)).await.unwrap();
    }

    /// What an integration kept for itself before there was a table of logins: pairs of a token of credentials and its newest.
    pub(super) async fn keep_by_itself(&self, lane: LaneId, kept: &[(&str, &str)]) {
        let file = bench::master_key().await;
        let ring = master_key::load(&file).unwrap().unwrap();
        let place = AdditionalData {
            company: lane.company.0,
            table: "integration",
            row: lane.integration.to_string(),
            column: "sealed_refresh",
        };
        let hash = |token: &str| hex::encode(Sha256::digest(token));
        let kept: Vec<_> = kept.iter().map(|(own, newest)| (hash(own), *newest)).collect();
        let plain = serde_json::to_vec(&kept).unwrap();
        let sealed = Sealer::new(&file, &ring).seal(&ring.newest_fingerprint(), &place, &plain).unwrap();
        let update = "UPDATE integration SET sealed_refresh = $2 WHERE id = $1";
        sqlx::query(update).bind(lane.integration.uuid()).bind(sealed).execute(&self.pool).await.unwrap();
    }

    pub(super) async fn delete(&self, lane: LaneId) {
        let mut command = self.command().await;
        let integration = command.integration(&lane.integration.to_string()).await.unwrap();
        command.delete_integration(&integration).await.unwrap();
        command.commit().await.unwrap();
    }
}
