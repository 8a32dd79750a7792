//! Flows: what intake decides with, what operators see and change, and the leads that a condition is tried on.

use bytes::Bytes;
use jiff_sqlx::ToSqlx as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        flow::{Condition, Flow, Flows},
        ids::{CompanyId, FlowId, IntegrationId, LeadId},
        integration::EventKind,
        lane::LaneId,
    },
    store::{
        Error, Store,
        company::{Company, find_optional_company},
        integration::find_integration,
        lead::place::LeadPlace,
        operator::command::{Command, Refusal},
        shown::Shown,
    },
};

pub mod held;

/// The most flows of a company: every lead is asked about by all of them.
const FLOWS_MAX: i64 = 200;

/// A flow as operators see it.
#[derive(Clone, Debug)]
pub struct FlowView {
    pub company: CompanyId,
    pub id: FlowId,
    pub name: String,
    /// From 1.
    pub position: i32,
    /// The condition as it was written.
    pub when: String,
    /// Where its leads go, with the names of the integrations.
    pub then: Vec<(IntegrationId, String)>,
    pub enabled: bool,
    pub stop: bool,
    pub created_at: jiff::Timestamp,
}

impl FlowView {
    /// What the audit keeps of it.
    #[must_use]
    pub fn audited(&self) -> Value {
        let then: Vec<String> = self.then.iter().map(|(id, _)| id.to_string()).collect();
        json!({
            "name": self.name,
            "position": self.position,
            "when": self.when,
            "then": then,
            "enabled": self.enabled,
            "stop": self.stop,
        })
    }
}

/// A stored lead with its current event.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub lead: LeadId,
    /// Where it stands among the leads.
    pub place: LeadPlace,
    pub uuid: String,
    pub kind: Shown<EventKind>,
    pub body: Bytes,
}

struct FlowRow {
    company_id: i64,
    id: Uuid,
    name: String,
    position: i32,
    condition: String,
    enabled: bool,
    stop: bool,
    created_at: jiff_sqlx::Timestamp,
    then_ids: Vec<Uuid>,
    then_names: Vec<String>,
}

impl From<FlowRow> for FlowView {
    fn from(row: FlowRow) -> Self {
        Self {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            name: row.name,
            position: row.position,
            when: row.condition,
            then: row.then_ids.into_iter().map(IntegrationId::from).zip(row.then_names).collect(),
            enabled: row.enabled,
            stop: row.stop,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// The enabled flows of a company, compiled.
pub(super) async fn deciding(db: &mut PgConnection, company: CompanyId) -> Result<Flows, Error> {
    let rows = sqlx::query!(
        r#"SELECT f.id, f.name, f.condition, f.stop,
                  coalesce(array_agg(t.integration_id) FILTER (WHERE t.integration_id IS NOT NULL), '{}')
                      AS "then_ids!"
           FROM flow f
           LEFT JOIN flow_target t ON t.company_id = f.company_id AND t.flow_id = f.id
           WHERE f.company_id = $1 AND f.enabled
           GROUP BY f.company_id, f.id ORDER BY f.position, f.id"#,
        company.0,
    )
    .fetch_all(db)
    .await?;
    let flows = rows.into_iter().map(|row| Flow {
        id: row.id.into(),
        name: row.name,
        when: Condition::compile(&row.condition),
        then: row.then_ids.into_iter().map(IntegrationId::from).collect(),
        stop: row.stop,
    });
    Ok(Flows(flows.collect()))
}

/// The flow that a reference means: an id, or a name that only one has.
async fn find_flow(db: &mut PgConnection, reference: &str) -> Result<(CompanyId, FlowId), Refusal> {
    if reference.is_empty() {
        return Err(Refusal::Invalid("name a flow, by its id or its name".to_owned()));
    }
    if reference.contains('\0') {
        return Err(Refusal::unknown("flow", format_args!("{reference:?}")));
    }
    let id = reference.parse::<FlowId>().ok().map(FlowId::uuid);
    let found = sqlx::query!(
        "SELECT c.id AS company_id, x.id FROM company c CROSS JOIN LATERAL
         (SELECT f.id FROM flow f WHERE f.company_id = c.id AND (f.id = $1 OR ($1::uuid IS NULL AND f.name = $2))) x
         ORDER BY x.id LIMIT 10",
        id,
        reference,
    )
    .fetch_all(db)
    .await?;
    let found: Vec<_> =
        found.into_iter().map(|row| (CompanyId(row.company_id), FlowId::from(row.id))).collect();
    Refusal::only_one(("flow", "flows"), reference, &found)
}

async fn views(
    db: &mut PgConnection,
    company: Option<CompanyId>,
    id: Option<FlowId>,
    after: Option<FlowId>,
    limit: i64,
) -> Result<Vec<FlowView>, Error> {
    let rows = sqlx::query_as!(
        FlowRow,
        r#"SELECT f.company_id, f.id, f.name, f.position, f.condition, f.enabled, f.stop, f.created_at,
                  coalesce(array_agg(i.id ORDER BY i.id) FILTER (WHERE i.id IS NOT NULL), '{}') AS "then_ids!",
                  coalesce(array_agg(i.name ORDER BY i.id) FILTER (WHERE i.id IS NOT NULL), '{}') AS "then_names!"
           FROM flow f
           LEFT JOIN flow_target t ON t.company_id = f.company_id AND t.flow_id = f.id
           LEFT JOIN integration i
               ON i.company_id = t.company_id AND i.id = t.integration_id AND i.deleted_at IS NULL
           WHERE ($1::bigint IS NULL OR f.company_id = $1) AND ($2::uuid IS NULL OR f.id = $2)
             AND ($3::uuid IS NULL OR (f.company_id, f.position, f.id) >
                 (SELECT a.company_id, a.position, a.id FROM flow a WHERE a.id = $3))
           GROUP BY f.company_id, f.id ORDER BY f.company_id, f.position, f.id LIMIT $4"#,
        company.map(|id| id.0),
        id.map(FlowId::uuid),
        after.map(FlowId::uuid),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(FlowView::from).collect())
}

async fn one(db: &mut PgConnection, company: CompanyId, id: FlowId) -> Result<FlowView, Refusal> {
    let found = views(db, Some(company), Some(id), None, 1).await?.pop();
    found.ok_or_else(|| Refusal::unknown("flow", id))
}

impl Store {
    /// The flows of a company or of all, in the order in which they are asked, those behind `after` only.
    pub async fn flow_views(
        &self,
        company: Option<&str>,
        after: Option<FlowId>,
        limit: i64,
    ) -> Result<Vec<FlowView>, Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?;
        Ok(views(&mut db, company, None, after, limit).await?)
    }

    /// The flow that a reference means.
    pub async fn flow_view(&self, reference: &str) -> Result<FlowView, Refusal> {
        let mut db = self.pool.acquire().await?;
        let (company, id) = find_flow(&mut db, reference).await?;
        one(&mut db, company, id).await
    }

    /// Leads of a company with their current events, newest first, those behind `after` only.
    pub async fn stored_events(
        &self,
        company: CompanyId,
        after: Option<LeadPlace>,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, Error> {
        let after = after.unwrap_or_else(LeadPlace::first);
        let rows = sqlx::query!(
            "SELECT l.id, l.uuid, l.received_at, e.kind, e.body
             FROM (SELECT * FROM lead
                   WHERE company_id = $1 AND received_at <= $2 AND (received_at, company_id, id) < ($2, $3, $4)
                   ORDER BY received_at DESC, company_id DESC, id DESC LIMIT $5) l
             JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
             ORDER BY l.received_at DESC, l.id DESC",
            company.0,
            after.received_at.to_sqlx() as _,
            after.company.0,
            after.lead.uuid(),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let events = rows.into_iter().map(|row| StoredEvent {
            lead: row.id.into(),
            place: LeadPlace { received_at: row.received_at.to_jiff(), company, lead: row.id.into() },
            uuid: row.uuid,
            kind: Shown::read(&row.kind, EventKind::parse),
            body: row.body.into(),
        });
        Ok(events.collect())
    }
}

impl Command {
    /// Locks the company of a flow, and so all its flows, and raises the version that intake decides on.
    pub async fn flow(&mut self, reference: &str) -> Result<(Company, FlowView), Refusal> {
        let (company, id) = find_flow(&mut self.tx, reference).await?;
        let company = self.lock_company(company).await?;
        let flow = one(&mut self.tx, company.id, id).await?;
        Ok((company, flow))
    }

    /// A flow as this command leaves it.
    pub async fn flow_view(&mut self, company: CompanyId, id: FlowId) -> Result<FlowView, Refusal> {
        one(&mut self.tx, company, id).await
    }

    /// The integrations of a locked company that references mean, each once.
    pub async fn integrations_meant(
        &mut self,
        company: CompanyId,
        references: &[String],
    ) -> Result<Vec<(IntegrationId, String)>, Refusal> {
        let mut found: Vec<(IntegrationId, String)> = Vec::new();
        for reference in references {
            let LaneId { integration: id, .. } =
                find_integration(&mut self.tx, Some(company), reference).await?;
            if !found.iter().any(|(other, _)| *other == id) {
                found.push((id, reference.clone()));
            }
        }
        Ok(found)
    }

    /// The names of those of these integrations that take every lead, whatever flows say.
    pub async fn takers_of_all(
        &mut self,
        company: CompanyId,
        integrations: &[(IntegrationId, String)],
    ) -> Result<Vec<String>, Refusal> {
        let ids: Vec<Uuid> = integrations.iter().map(|(id, _)| id.uuid()).collect();
        let names = sqlx::query_scalar!(
            "SELECT name FROM integration
             WHERE company_id = $1 AND id = ANY($2) AND routing = 'all' ORDER BY name",
            company.0,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(names)
    }

    /// The names of the integrations of a locked company that take only what flows send, and that no enabled flow
    /// sends anything.
    pub async fn unreached(&mut self, company: CompanyId) -> Result<Vec<String>, Refusal> {
        let names = sqlx::query_scalar!(
            "SELECT i.name FROM integration i
             WHERE i.company_id = $1 AND i.routing = 'flows' AND i.deleted_at IS NULL AND NOT EXISTS (
                 SELECT FROM flow_target t JOIN flow f ON f.company_id = t.company_id AND f.id = t.flow_id
                 WHERE t.company_id = i.company_id AND t.integration_id = i.id AND f.enabled)
             ORDER BY i.name",
            company.0,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(names)
    }

    /// Refuses a name that another flow of the locked company has.
    pub async fn flow_name_is_free(&mut self, company: CompanyId, name: &str) -> Result<(), Refusal> {
        let taken =
            sqlx::query_scalar!("SELECT id FROM flow WHERE company_id = $1 AND name = $2", company.0, name)
                .fetch_optional(&mut *self.tx)
                .await?;
        match taken {
            None => Ok(()),
            Some(id) => Err(Refusal::Exists(format!(
                "company {company} has a flow {name:?} already ({}): choose another name",
                FlowId::from(id)
            ))),
        }
    }

    /// Writes a new flow of a locked company, or one that is there, with its integrations, in its place among the
    /// others. What its position says is made to fit.
    pub async fn write_flow(&mut self, flow: &FlowView) -> Result<(), Refusal> {
        let (company, id) = (flow.company.0, flow.id.uuid());
        sqlx::query!(
            "INSERT INTO flow (company_id, id, name, position, condition, enabled, stop)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (company_id, id) DO UPDATE
             SET name = excluded.name, condition = excluded.condition, enabled = excluded.enabled, stop = excluded.stop",
            company,
            id,
            flow.name,
            flow.position.max(1),
            flow.when,
            flow.enabled,
            flow.stop,
        )
        .execute(&mut *self.tx)
        .await?;
        let then: Vec<Uuid> = flow.then.iter().map(|(id, _)| id.uuid()).collect();
        sqlx::query!(
            "DELETE FROM flow_target WHERE company_id = $1 AND flow_id = $2 AND integration_id <> ALL($3)",
            company,
            id,
            &then,
        )
        .execute(&mut *self.tx)
        .await?;
        sqlx::query!(
            "INSERT INTO flow_target (company_id, flow_id, integration_id)
             SELECT $1, $2, unnest($3::uuid[]) ON CONFLICT DO NOTHING",
            company,
            id,
            &then,
        )
        .execute(&mut *self.tx)
        .await?;
        self.place_flow(flow.company, flow.id, flow.position).await
    }

    /// Numbers the flows of a locked company anew, with one of them at this place.
    async fn place_flow(&mut self, company: CompanyId, id: FlowId, position: i32) -> Result<(), Refusal> {
        let mut others = sqlx::query_scalar!(
            "SELECT id FROM flow WHERE company_id = $1 AND id <> $2 ORDER BY position, id",
            company.0,
            id.uuid(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let index = usize::try_from(position.max(1) - 1).unwrap_or(0).min(others.len());
        others.insert(index, id.uuid());
        self.number_flows(company, &others).await
    }

    async fn number_flows(&mut self, company: CompanyId, order: &[Uuid]) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE flow f SET position = o.n
             FROM unnest($2::uuid[]) WITH ORDINALITY o(id, n)
             WHERE f.company_id = $1 AND f.id = o.id AND f.position <> o.n",
            company.0,
            order,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Refuses one flow too many of a locked company. Answers how many there are.
    pub async fn room_for_flow(&mut self, company: CompanyId) -> Result<i64, Refusal> {
        let count =
            sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM flow WHERE company_id = $1"#, company.0)
                .fetch_one(&mut *self.tx)
                .await?;
        if count >= FLOWS_MAX {
            return Err(Refusal::State(format!(
                "company {company} has {count} flows, and {FLOWS_MAX} are the most: delete one, or make one of two with ||"
            )));
        }
        Ok(count)
    }

    /// Removes a flow of a locked company; those behind it move up.
    pub async fn delete_flow(&mut self, flow: &FlowView) -> Result<(), Refusal> {
        sqlx::query!("DELETE FROM flow WHERE company_id = $1 AND id = $2", flow.company.0, flow.id.uuid(),)
            .execute(&mut *self.tx)
            .await?;
        let left = sqlx::query_scalar!(
            "SELECT id FROM flow WHERE company_id = $1 ORDER BY position, id",
            flow.company.0,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.number_flows(flow.company, &left).await
    }
}
