//! Pushing leads that are known already: to an integration that came later, or where nothing arrived.
//!
//! Each push is a delivery of its own that brings the lead's current content as `lead.created`. Where one is on its way
//! nothing is made; what is dead there is replaced.

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{LaneKind, Reason, State, Trigger},
        fanout::has_consent,
        ids::{CompanyId, DeliveryId, EventId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        json::Json,
        lane::LaneId,
        lead::event_text,
    },
    store::{
        Error, Store,
        job::JobLane,
        lead::event::{RepeatedEvent, repeat_events},
        operator::command::{Command, Refusal},
        queue::{
            requeue::{self, Requeue},
            undelivered,
        },
    },
};

/// Which leads of a company are pushed where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Of leads of which nothing was delivered: wherever nothing stands, or only what is dead.
    Unsynced,
    /// Wherever nothing stands at all.
    Missing,
}

impl Choice {
    /// The word that a job keeps.
    pub(in crate::store) const fn as_str(self) -> &'static str {
        match self {
            Self::Unsynced => "unsynced",
            Self::Missing => "missing",
        }
    }

    pub(in crate::store) fn parse(word: &str) -> Option<Self> {
        [Self::Unsynced, Self::Missing].into_iter().find(|choice| choice.as_str() == word)
    }
}

/// Leads to be pushed to one integration.
#[derive(Clone, Copy, Debug)]
pub struct NewPush {
    pub company: CompanyId,
    pub integration: IntegrationId,
    /// An integration that takes only what flows send gets only what they sent it.
    pub by_flows: bool,
    /// The job that pushes them, and which it chose.
    pub job: Option<(JobId, Choice)>,
}

/// What a push of one lead to one integration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on its way.
    Queued(DeliveryId),
    /// It must not be pushed there: the lead did not consent.
    Skipped(DeliveryId),
}

impl Pushed {
    /// The delivery that was made.
    #[must_use]
    pub const fn delivery(self) -> DeliveryId {
        match self {
            Self::Queued(id) | Self::Skipped(id) => id,
        }
    }

    /// Whether it is on its way.
    #[must_use]
    pub const fn is_queued(self) -> bool {
        matches!(self, Self::Queued(_))
    }
}

/// A delivery that stands between a lead and a push.
struct Existing {
    id: Uuid,
    lead_id: Uuid,
    /// None if only a newer daemon knows it: nothing is pushed beside it.
    state: Option<State>,
}

impl Command {
    /// Pushes leads to one integration, at most [`crate::store::queue::release::BATCH`] of them. Answers the deliveries that were made.
    pub async fn push_leads(&mut self, new: &NewPush, leads: &[Uuid]) -> Result<Vec<Pushed>, Refusal> {
        let NewPush { company, integration, .. } = *new;
        // The lead first, as an update locks it: its content stays as it is until this is committed.
        let found = sqlx::query!(
            "SELECT l.id, l.event_id, e.kind, e.body FROM lead l
             JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
             WHERE l.company_id = $1 AND l.id = ANY($2) AND l.erased_at IS NULL ORDER BY l.id FOR SHARE OF l",
            company.0,
            leads,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let existing = self.lock_existing(company, integration, leads).await?;
        // Asked again of what is locked: it may have arrived since the job chose it.
        let chosen = match new.job {
            Some((job, choice)) => Some(self.still_wanted(new, leads, job, choice).await?),
            None => None,
        };
        let target = sqlx::query!(
            "SELECT needs_consent, routing = 'flows' AS \"by_flows!\" FROM integration
             WHERE company_id = $1 AND id = $2",
            company.0,
            integration.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let (mut rows, mut events) = (Vec::new(), Vec::new());
        let mut replaced: Vec<(Uuid, DeliveryId)> = Vec::new();
        for lead in found {
            let here = || existing.iter().filter(|row| row.lead_id == lead.id);
            if chosen.as_ref().is_some_and(|chosen| !chosen.contains(&lead.id)) {
                continue;
            }
            if here().any(|row| matches!(row.state, None | Some(State::Pending | State::Held))) {
                continue;
            }
            let is_sent = || here().any(|row| matches!(row.state, Some(State::Dead | State::Delivered)));
            if new.by_flows && target.by_flows && !is_sent() {
                continue;
            }
            let is_barred = target.needs_consent && !has_consent(&parse(&lead.body)?);
            // Where it was skipped before, or has been, nothing is to be said again.
            if is_barred && here().any(|row| row.state != Some(State::Dead)) {
                continue;
            }
            let id = DeliveryId::generate();
            let pushed = if is_barred { Pushed::Skipped(id) } else { Pushed::Queued(id) };
            replaced.extend(here().filter(|row| row.state == Some(State::Dead)).map(|row| (row.id, id)));
            let event = if lead.kind == EventKind::Created.as_str() {
                lead.event_id
            } else {
                let event = EventId::generate().uuid();
                events.push(RepeatedEvent { id: event, lead: lead.id, body: as_created(&lead.body)? });
                event
            };
            rows.push((pushed, lead.id, event));
        }
        repeat_events(&mut self.tx, company, &events).await?;
        self.add_pushes(new, &rows, &replaced).await
    }

    async fn lock_existing(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        leads: &[Uuid],
    ) -> Result<Vec<Existing>, Refusal> {
        let existing = sqlx::query!(
            "SELECT id, lead_id, state FROM delivery
             WHERE company_id = $1 AND lead_id = ANY($2) AND integration_id = $3 ORDER BY id FOR UPDATE",
            company.0,
            leads,
            integration.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        sqlx::query!(
            "SELECT dead FROM integration_stat WHERE company_id = $1 AND integration_id = $2 FOR UPDATE",
            company.0,
            integration.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let existing = existing.into_iter().map(|row| Existing {
            id: row.id,
            lead_id: row.lead_id,
            state: State::parse(&row.state),
        });
        Ok(existing.collect())
    }

    /// Those of locked leads that a job still wants to push.
    async fn still_wanted(
        &mut self,
        new: &NewPush,
        leads: &[Uuid],
        job: JobId,
        choice: Choice,
    ) -> Result<Vec<Uuid>, Refusal> {
        let wanted = sqlx::query_scalar!(
            r#"SELECT lead_id AS "id!" FROM leads_wanted($1, ARRAY[$2::uuid], $3, $4) WHERE lead_id = ANY($5)"#,
            new.company.0,
            new.integration.uuid(),
            choice.as_str(),
            job.uuid(),
            leads,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(wanted)
    }

    async fn add_pushes(
        &mut self,
        new: &NewPush,
        rows: &[(Pushed, Uuid, Uuid)],
        replaced: &[(Uuid, DeliveryId)],
    ) -> Result<Vec<Pushed>, Refusal> {
        let NewPush { company, integration, .. } = *new;
        let job = new.job.map(|(job, _)| job);
        let ids: Vec<Uuid> = rows.iter().map(|row| row.0.delivery().uuid()).collect();
        let queued: Vec<bool> = rows.iter().map(|row| row.0.is_queued()).collect();
        let leads: Vec<Uuid> = rows.iter().map(|row| row.1).collect();
        let events: Vec<Uuid> = rows.iter().map(|row| row.2).collect();
        let old: Vec<Uuid> = replaced.iter().map(|pair| pair.0).collect();
        let by: Vec<String> = replaced.iter().map(|pair| pair.1.to_string()).collect();
        sqlx::query!(
            "WITH gone AS (
                 UPDATE delivery d SET state = 'skipped', reason_code = 'replaced', reason_detail = to_jsonb(r.by), finished_at = now(),
                     due_at = NULL
                 FROM unnest($6::uuid[], $7::text[]) r(id, by)
                 WHERE d.company_id = $1 AND d.id = r.id AND d.state = 'dead'
             )
             INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, job_id,
                 state, reason_code, finished_at)
             SELECT $1, id, $2, lead_id, event_id, 'lead.created', false, $8,
                 CASE WHEN queued THEN 'pending' ELSE 'skipped' END, CASE WHEN NOT queued THEN $10 END,
                 CASE WHEN NOT queued THEN now() END
             FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $9::bool[]) n(id, lead_id, event_id, queued)",
            company.0,
            integration.uuid(),
            &ids,
            &leads,
            &events,
            &old,
            &by,
            job.map(JobId::uuid),
            &queued,
            Reason::NoConsent.code(),
        )
        .execute(&mut *self.tx)
        .await?;
        undelivered::forget(&mut self.tx, company, &[integration.uuid()], &old).await?;
        let operator = self.operator.clone();
        let how = Requeue {
            // One lead goes with the new ones, many take their turn behind them.
            attempt: Some((if job.is_some() { LaneKind::Retry } else { LaneKind::First }, Trigger::Manual)),
            operator: Some(&operator),
            job: job.map(JobId::uuid),
        };
        let queued: Vec<Uuid> =
            rows.iter().filter(|row| row.0.is_queued()).map(|row| row.0.delivery().uuid()).collect();
        let due = requeue::line_up(&mut self.tx, company, &queued, &how).await?;
        self.became_due(company, &due);
        self.touch(LaneId::new(company, integration), false);
        Ok(rows.iter().map(|row| row.0).collect())
    }
}

/// The same content as the event of a lead that came to be.
fn as_created(body: &[u8]) -> Result<Bytes, Error> {
    Ok(event_text(&parse(body)?, EventKind::Created))
}

fn parse(body: &[u8]) -> Result<Json, Error> {
    Json::parse(body).map_err(|_| Error::Corrupt("event"))
}

impl Store {
    /// The integrations that unsynced leads of a company go to: enabled and subscribed to new leads. Those that take only
    /// what flows send get what flows sent them, and nothing else.
    pub async fn integrations_to_push(&self, company: CompanyId) -> Result<Vec<IntegrationId>, Error> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM integration WHERE company_id = $1 AND deleted_at IS NULL AND enabled
               AND 'lead.created' = ANY(events) ORDER BY id",
            company.0,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(IntegrationId::from).collect())
    }

    /// How many leads of a company each of these integrations would get, and up to which; how many leads that is in
    /// all, and the first of them.
    pub async fn push_lanes(
        &self,
        company: CompanyId,
        integrations: &[IntegrationId],
        choice: Choice,
        sample: i64,
    ) -> Result<(Vec<JobLane>, i64, Vec<LeadId>), Error> {
        let ids: Vec<Uuid> = integrations.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"WITH wanted AS MATERIALIZED (
                   SELECT lead_id, integration_id FROM leads_wanted($1, $2, $3, NULL)
               )
               SELECT integration_id AS "integration_id?", count(*) AS "count!",
                   (array_agg(lead_id ORDER BY lead_id DESC))[1] AS "last?", NULL::uuid[] AS leads
               FROM wanted GROUP BY integration_id
               UNION ALL
               SELECT NULL, count(*), NULL, (array_agg(lead_id ORDER BY lead_id))[:$4]
               FROM (SELECT DISTINCT lead_id FROM wanted) l"#,
            company.0,
            &ids,
            choice.as_str(),
            i32::try_from(sample).unwrap_or(i32::MAX),
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut lanes, mut count, mut first) = (Vec::new(), 0, Vec::new());
        for row in rows {
            match (row.integration_id, row.last) {
                (Some(integration), Some(last)) => {
                    lanes.push(JobLane { id: LaneId::new(company, integration), total: row.count, last });
                }
                _ => {
                    count = row.count;
                    first = row.leads.unwrap_or_default().into_iter().map(LeadId::from).collect();
                }
            }
        }
        Ok((lanes, count, first))
    }

    /// The next leads that a job pushes to an integration. What the job itself delivered elsewhere does not make a lead
    /// synced.
    #[expect(clippy::too_many_arguments, reason = "a position in a job is all of these")]
    pub(in crate::store) async fn leads_to_push(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        choice: Choice,
        job: JobId,
        after: Option<Uuid>,
        last: Uuid,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error> {
        let leads = sqlx::query_scalar!(
            r#"SELECT lead_id AS "id!" FROM leads_wanted($1, ARRAY[$2::uuid], $3, $4)
               WHERE ($5::uuid IS NULL OR lead_id > $5) AND lead_id <= $6 ORDER BY lead_id LIMIT $7"#,
            company.0,
            integration.uuid(),
            choice.as_str(),
            job.uuid(),
            after,
            last,
            limit as i64,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(leads)
    }
}
