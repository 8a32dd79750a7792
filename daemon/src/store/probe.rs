//! Probes: asked for by control, carried out by dispatch, answered as an attempt of trigger `test`.

use super::{Change, Error, Store, finish::AttemptRecord, micros};
use crate::domain::ids::{AttemptId, CompanyId, IntegrationId};

/// A probe that this daemon carries out.
#[derive(Clone, Debug)]
pub struct Probe {
    pub company: CompanyId,
    pub integration: IntegrationId,
    /// The id of the attempt that it becomes.
    pub attempt: AttemptId,
    pub operator: String,
    /// The start of the attempt, in microseconds.
    pub started_at: i64,
}

impl Store {
    /// Takes probes that wait, or whose daemon died.
    pub async fn take_probes(&self, daemon: i64) -> Result<Vec<Probe>, Error> {
        let rows = sqlx::query!(
            r#"UPDATE probe SET daemon_id = $1 WHERE (company_id, id) IN (
                SELECT company_id, id FROM probe p
                WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = p.daemon_id)
                LIMIT 20 FOR UPDATE SKIP LOCKED
            ) RETURNING company_id, id, integration_id, operator, now() AS "now!""#,
            daemon
        )
        .fetch_all(&self.pool)
        .await?;
        let probes = rows.into_iter().map(|row| Probe {
            company: CompanyId(row.company_id),
            integration: row.integration_id.into(),
            attempt: row.id.into(),
            operator: row.operator,
            started_at: micros(row.now.to_jiff()),
        });
        Ok(probes.collect())
    }

    /// Forgets a probe whose integration is gone.
    pub async fn drop_probe(&self, probe: &Probe) -> Result<(), Error> {
        let (company, id) = (probe.company.0, probe.attempt.uuid());
        sqlx::query!("DELETE FROM probe WHERE company_id = $1 AND id = $2", company, id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records what a probe came to. `request_body` is kept here, because no delivery has it.
    pub async fn finish_probe(
        &self,
        attempt: &AttemptRecord,
        request_body: Option<&[u8]>,
    ) -> Result<(), Error> {
        let (sent, answer) = (attempt.sent.as_ref(), attempt.answer.as_ref());
        sqlx::query!(
            r#"WITH gone AS (
                DELETE FROM probe WHERE company_id = $1 AND id = $3 RETURNING company_id
            )
            INSERT INTO attempt (company_id, integration_id, id, event, number, trigger, delivered, class, error,
                status_code, started_at, duration_ms, method, url, request_headers, request_body, response_headers,
                response_body, response_bytes, secret_version, config_version, operator)
            SELECT company_id, $2, $3, $4, 1, 'test', $5::text IS NULL, $5, $6,
                $7, 'epoch'::timestamptz + $8::bigint * interval '1 microsecond', $9, $10, $11, $12::text::jsonb, $13,
                $14::text::jsonb, $15, $16, $17, $18, $19
            FROM gone"#,
            attempt.company.0,
            attempt.integration.uuid(),
            attempt.id.uuid(),
            attempt.event.as_str(),
            attempt.failure.as_ref().map(|failure| failure.class.as_str()),
            attempt.failure.as_ref().map(|failure| super::finish::storable(&failure.error)),
            answer.map(|answer| answer.status),
            attempt.started_at,
            attempt.duration_ms,
            sent.map(|sent| sent.method.as_str()),
            sent.map(|sent| sent.url.as_str()),
            sent.map(|sent| sent.headers.as_str()),
            request_body,
            answer.map(|answer| answer.headers.as_str()),
            answer.map(|answer| &answer.body[..]),
            answer.map(|answer| answer.body_bytes),
            sent.and_then(|sent| sent.secret_version),
            attempt.config_version,
            attempt.operator,
        )
        .execute(&self.pool)
        .await?;
        let (company, integration) = (attempt.company, attempt.integration);
        self.hub.changed(Change { company, integration, config: false });
        Ok(())
    }
}
