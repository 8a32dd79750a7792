//! Probes: asked for by control, carried out by dispatch, answered as an attempt of trigger `test`.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{AttemptId, CompanyId},
        integration::{EventKind, ProbeKind},
        lane::LaneId,
        moment::Moment,
    },
    store::{
        Change, Error, Store,
        delivery::calls,
        integration::{
            find_integration,
            refresh::{LoginHash, login_id},
        },
        known, moment,
        operator::command::{Command, Refusal},
        queue::{
            finish::{AttemptResult, storable},
            lift::close_breaker,
        },
        sealed,
    },
    telemetry,
};

/// So many that wait are looked at, and so many are taken at once.
const WAITING_MAX: i64 = 1000;
const TAKEN_MAX: usize = 20;
/// A probe that has waited for so long is anybody's: far beyond what its lane's daemon takes to hear of it.
const LATE_AFTER: Duration = Duration::from_secs(30);

/// A probe that this daemon carries out.
#[derive(Clone, Debug)]
pub struct Probe {
    pub lane: LaneId,
    /// The id of the attempt that it becomes.
    pub attempt: AttemptId,
    pub operator: String,
    pub kind: ProbeKind,
    /// New credentials to be tried, as JSON.
    pub candidate: Option<SecretString>,
    /// The start of the attempt.
    pub started_at: Moment,
}

/// The probes that a daemon has taken.
#[derive(Debug)]
pub struct TakenProbes {
    pub probes: Vec<Probe>,
    /// Others wait, for the daemons whose lanes they are of.
    pub is_some_left: bool,
}

/// A probe as it is stored.
struct ProbeRow {
    company_id: i64,
    id: Uuid,
    integration_id: Uuid,
    operator: String,
    kind: String,
    sealed_candidate: Option<Vec<u8>>,
    now: jiff_sqlx::Timestamp,
}

/// What a probe found out beside its outcome.
#[derive(Clone, Debug)]
pub struct ProbeFindings {
    pub account: Option<String>,
    pub findings: Vec<String>,
    pub proposals: Vec<Proposed>,
}

/// What could be added to the mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    pub field: String,
    /// As a mapping has it.
    pub rule: Value,
    pub why: String,
}

impl Command {
    /// The integration that a reference means, with the name of its connector.
    pub async fn probed(&mut self, reference: &str) -> Result<(LaneId, String), Refusal> {
        let lane = find_integration(&mut self.tx, None, reference).await?;
        let connector = sqlx::query_scalar!(
            "SELECT connector FROM integration WHERE company_id = $1 AND id = $2",
            lane.company.0,
            lane.integration.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok((lane, connector))
    }

    /// Asks dispatch for a look at the target; with a candidate, under new credentials. The answer is the id of the
    /// attempt that it becomes.
    pub async fn request_probe(
        &mut self,
        lane: LaneId,
        kind: ProbeKind,
        candidate: Option<&Value>,
    ) -> Result<AttemptId, Refusal> {
        let id = AttemptId::generate();
        let LaneId { company, integration } = lane;
        let sealed = match candidate {
            Some(credentials) => {
                let place = sealed::candidate(company, integration);
                Some(self.seal(&place, credentials.to_string().as_bytes()).await?)
            }
            None => None,
        };
        sqlx::query!(
            "INSERT INTO probe (company_id, id, integration_id, operator, kind, sealed_candidate)
             VALUES ($1, $2, $3, $4, $5, $6)",
            company.0,
            id.uuid(),
            integration.uuid(),
            self.operator,
            kind.as_str(),
            sealed,
        )
        .execute(&mut *self.tx)
        .await?;
        self.wake_probes();
        Ok(id)
    }
}

impl Store {
    /// Takes the probes of some lanes that wait, or whose daemon died. Those of a kind that this daemon does not know are
    /// left to one that does; what nobody has taken for long, anybody takes.
    pub async fn take_probes(
        &self,
        daemon: i64,
        is_own: impl Fn(LaneId) -> bool,
    ) -> Result<TakenProbes, Error> {
        let waiting = sqlx::query!(
            r#"SELECT company_id, id, integration_id, requested_at < now() - $2 * interval '1 second' AS "is_late!"
               FROM probe p
               WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = p.daemon_id) AND p.kind = ANY($1)
               ORDER BY requested_at LIMIT $3"#,
            &ProbeKind::ALL.map(ProbeKind::as_str) as &[&str],
            LATE_AFTER.as_secs_f64(),
            WAITING_MAX,
        )
        .fetch_all(&self.pool)
        .await?;
        let found = waiting.len();
        let own = waiting
            .into_iter()
            .filter(|row| row.is_late || is_own(LaneId::new(CompanyId(row.company_id), row.integration_id)));
        let (companies, ids): (Vec<i64>, Vec<Uuid>) =
            own.take(TAKEN_MAX).map(|row| (row.company_id, row.id)).unzip();
        let is_some_left = ids.len() < found;
        let probes = if ids.is_empty() { Vec::new() } else { self.take(daemon, &companies, &ids).await? };
        Ok(TakenProbes { probes, is_some_left })
    }

    /// Takes those of these probes that nobody else has taken meanwhile.
    async fn take(&self, daemon: i64, companies: &[i64], ids: &[Uuid]) -> Result<Vec<Probe>, Error> {
        let rows = sqlx::query_as!(
            ProbeRow,
            r#"UPDATE probe SET daemon_id = $1 WHERE (company_id, id) IN (
                SELECT company_id, id FROM probe p
                -- Asked again of one that somebody took meanwhile, which NOT EXISTS, planned as a join, is not.
                WHERE (p.daemon_id IS NULL OR p.daemon_id <> ALL(ARRAY(SELECT d.id FROM daemon d)))
                    AND (company_id, id) IN (SELECT * FROM unnest($2::bigint[], $3::uuid[]))
                FOR UPDATE SKIP LOCKED
            ) RETURNING company_id, id, integration_id, operator, kind, sealed_candidate,
                now() AS "now!: jiff_sqlx::Timestamp""#,
            daemon,
            companies,
            ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut probes = Vec::with_capacity(rows.len());
        for row in rows {
            let id = AttemptId::from(row.id);
            match self.read_probe(row) {
                Ok(probe) => probes.push(probe),
                // The others are carried out all the same.
                Err(error) => tracing::error!(
                    event = "probe_unreadable",
                    error = telemetry::causes(&error),
                    attempt = %id,
                    "a probe waits for a daemon that can read it"
                ),
            }
        }
        Ok(probes)
    }

    fn read_probe(&self, row: ProbeRow) -> Result<Probe, Error> {
        let lane = LaneId::new(CompanyId(row.company_id), row.integration_id);
        let candidate = match row.sealed_candidate {
            Some(value) => {
                let opened = self.sealer.open(&sealed::candidate(lane.company, lane.integration), &value);
                // A daemon of the version before sealed it as what is in use.
                let before =
                    || self.sealer.open(&sealed::credentials(lane.company, lane.integration), &value);
                let plain = opened.or_else(|error| before().map_err(|_| error))?;
                let text = String::from_utf8(plain.to_vec()).map_err(|_| Error::Corrupt("credentials"))?;
                Some(SecretString::from(text))
            }
            None => None,
        };
        Ok(Probe {
            lane,
            attempt: row.id.into(),
            operator: row.operator,
            kind: known("probe", &row.kind, ProbeKind::parse)?,
            candidate,
            started_at: moment(row.now),
        })
    }

    /// What the last probe proposed to add to an integration's mapping.
    pub async fn proposals(&self, lane: LaneId) -> Result<Vec<Proposed>, Error> {
        let (company, integration) = (lane.company.0, lane.integration.uuid());
        let proposals = sqlx::query_scalar!(
            "SELECT proposals FROM integration WHERE company_id = $1 AND id = $2",
            company,
            integration
        )
        .fetch_optional(&self.pool)
        .await?;
        proposals.map_or_else(
            || Ok(Vec::new()),
            |proposals| serde_json::from_value(proposals).map_err(|_| Error::Corrupt("proposals")),
        )
    }

    /// Forgets a probe whose integration is gone.
    pub async fn drop_probe(&self, probe: &Probe) -> Result<(), Error> {
        let (company, id) = (probe.lane.company.0, probe.attempt.uuid());
        sqlx::query!("DELETE FROM probe WHERE company_id = $1 AND id = $2", company, id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records what a probe came to, with its body, because no delivery has it. Credentials that were tried with success
    /// replace the old ones, for the origins at which they were tried, and with their login if that has a refresh token.
    pub async fn finish_probe(
        &self,
        probe: &Probe,
        result: &AttemptResult,
        config_version: i32,
        found: Option<&ProbeFindings>,
        (origins, login): (&str, Option<&LoginHash>),
    ) -> Result<(), Error> {
        let (sent, answer, failure) =
            (result.sent.as_ref(), result.answer.as_ref(), result.outcome.failure());
        let mut tx = self.pool.begin().await?;
        let in_force = match &probe.candidate {
            Some(candidate) if failure.is_none() => {
                let place = sealed::credentials(probe.lane.company, probe.lane.integration);
                Some(self.seal(&mut tx, &place, candidate.expose_secret().as_bytes()).await?)
            }
            _ => None,
        };
        let is_good = sqlx::query_file_scalar!(
            "src/store/integration/finish_probe.sql",
            probe.lane.company.0,
            probe.lane.integration.uuid(),
            probe.attempt.uuid(),
            EventKind::Test.as_str(),
            failure.map(|failure| failure.class.as_str()),
            failure.map(|failure| storable(&failure.error)),
            answer.map(|answer| answer.status),
            probe.started_at.as_micros(),
            result.duration_ms(),
            sent.map(|sent| sent.method.as_str()),
            sent.map(|sent| sent.url.as_str()),
            sent.map(|sent| sent.headers.as_str()),
            result.body.as_deref(),
            answer.map(|answer| answer.headers.as_str()),
            answer.map(|answer| &answer.body[..]),
            answer.map(|answer| answer.body_bytes),
            sent.and_then(|sent| sent.secret_version),
            config_version,
            probe.operator,
            found.is_some(),
            found.and_then(|found| found.account.as_deref()),
            found.and_then(|found| serde_json::to_value(&found.findings).ok()),
            calls::stored(&result.calls),
            result.note.as_deref(),
            origins,
            found.and_then(|found| serde_json::to_value(&found.proposals).ok()),
            in_force,
            login.map(login_id),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if is_good == Some(true) {
            // The target answers: nothing is to be waited for.
            close_breaker(&mut tx, probe.lane).await?;
        }
        tx.commit().await?;
        self.wake_ups.changed(Change { lane: probe.lane, config: true });
        Ok(())
    }
}
