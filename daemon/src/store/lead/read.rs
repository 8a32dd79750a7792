//! Leads as operators see them.

use async_trait::async_trait;
use bytes::Bytes;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::LeadState,
        fanout::has_consent,
        ids::{CompanyId, LeadId},
        json::Json,
        person::Person,
    },
    store::{
        Error, Store,
        bounded::{self, ListPage, PageScan, STRETCH, Stretch},
        company::find_optional_company,
        delivery::read::{DeliveryFilter, DeliveryView, Order},
        lead::place::LeadPlace,
        operator::command::Refusal,
    },
};

/// A lead with how far its deliveries are.
#[derive(Clone, Debug)]
pub struct LeadView {
    pub id: LeadId,
    /// As it was received.
    pub uuid: String,
    pub company: CompanyId,
    pub company_name: String,
    /// Who it is; empty once erased.
    pub person: Person,
    pub state: LeadState,
    /// How many deliveries are pending, held or dead.
    pub undelivered: i64,
    pub received_at: jiff::Timestamp,
    pub updated_at: Option<jiff::Timestamp>,
}

/// What became of a lead: `lead show` and `GET /v1/leads/{uuid}`.
#[derive(Clone, Debug)]
pub struct LeadStatus {
    pub lead: LeadView,
    /// The canonical event as it is pushed.
    pub event: Bytes,
    /// Newest first.
    pub deliveries: Vec<DeliveryView>,
}

/// The company and id of the lead that a uuid means.
pub(in crate::store) async fn find_lead(
    db: &mut PgConnection,
    company: Option<CompanyId>,
    uuid: &str,
) -> Result<(CompanyId, LeadId), Refusal> {
    let id = uuid.parse::<LeadId>().map_err(|error| Refusal::not_an_id("lead", uuid, &error))?;
    let owners = sqlx::query_scalar!(
        "SELECT c.id FROM company c CROSS JOIN LATERAL
         (SELECT 1 FROM lead l WHERE l.company_id = c.id AND l.id = $1) x
         WHERE $2::bigint IS NULL OR c.id = $2 ORDER BY c.id LIMIT 10",
        id.uuid(),
        company.map(|id| id.0),
    )
    .fetch_all(db)
    .await?;
    match owners[..] {
        [] => Err(Refusal::unknown("lead", id)),
        [owner] => Ok((CompanyId(owner), id)),
        _ => {
            let owners: Vec<_> = owners.iter().map(ToString::to_string).collect();
            Err(Refusal::Invalid(format!(
                "several companies know lead {id}: name one of the companies {}",
                owners.join(", ")
            )))
        }
    }
}

/// A lead that was looked at.
struct LeadRow {
    company_id: i64,
    id: Uuid,
    received_at: jiff_sqlx::Timestamp,
    /// How many of its deliveries are delivered, and neither delivered nor skipped; counted where a state is asked for.
    delivered: i64,
    open: i64,
}

impl LeadRow {
    fn place(&self) -> LeadPlace {
        LeadPlace {
            received_at: self.received_at.to_jiff(),
            company: CompanyId(self.company_id),
            lead: self.id.into(),
        }
    }
}

/// Leads of a company or of all, among which those of a state are looked for.
struct LeadsOfState<'a> {
    db: &'a mut PgConnection,
    company: Option<CompanyId>,
    state: Option<LeadState>,
    /// How many are looked at at once.
    most: usize,
}

#[async_trait]
impl PageScan for LeadsOfState<'_> {
    type Row = LeadRow;
    type Place = LeadPlace;

    async fn scan(&mut self, after: LeadPlace) -> Result<Stretch<LeadRow, LeadPlace>, Error> {
        let rows = leads_behind(self.db, self.company, self.state.is_some(), after, self.most).await?;
        let looked = rows.len();
        let upto = rows.last().filter(|_| looked == self.most).map(LeadRow::place);
        let is_asked_for =
            |row: &LeadRow| self.state.is_none_or(|state| LeadState::of(row.delivered, row.open) == state);
        let found = rows.into_iter().filter(is_asked_for).collect();
        Ok(Stretch { found, looked, upto })
    }
}

/// The next leads behind a place, so many at most, with how far each is if that is asked for.
async fn leads_behind(
    db: &mut PgConnection,
    company: Option<CompanyId>,
    is_counted: bool,
    after: LeadPlace,
    most: usize,
) -> Result<Vec<LeadRow>, Error> {
    // The index in which they stand in this order, a company's or everybody's, is walked from the place on: `LIMIT` keeps
    // the planner from sorting leads, `OFFSET 0` from reading all deliveries.
    let rows = sqlx::query_as!(
        LeadRow,
        r#"SELECT l.company_id, l.id, l.received_at AS "received_at: jiff_sqlx::Timestamp",
                  coalesce(d.delivered, 0) AS "delivered!", coalesce(d.open, 0) AS "open!"
           FROM (
               SELECT company_id, id, received_at FROM lead
               WHERE (received_at, company_id, id) < ($1, $2, $3) AND received_at <= $1
                 AND ($4::bigint IS NULL OR company_id = $4)
               ORDER BY received_at DESC, company_id DESC, id DESC LIMIT $6
           ) l
           LEFT JOIN LATERAL (
               SELECT count(*) FILTER (WHERE state = 'delivered') AS delivered,
                      count(*) FILTER (WHERE state NOT IN ('delivered', 'skipped')) AS open
               FROM delivery WHERE company_id = l.company_id AND lead_id = l.id AND $5::bool OFFSET 0
           ) d ON true
           ORDER BY l.received_at DESC, l.company_id DESC, l.id DESC"#,
        after.received_at.to_sqlx() as _,
        after.company.0,
        after.lead.uuid(),
        company.map(|id| id.0),
        is_counted,
        i64::try_from(most).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

impl LeadView {
    /// Where it stands in lists.
    #[must_use]
    pub const fn place(&self) -> LeadPlace {
        LeadPlace { received_at: self.received_at, company: self.company, lead: self.id }
    }
}

impl Store {
    /// Whether a lead consents as it stands now; one that was erased does not.
    pub async fn consents(&self, company: CompanyId, lead: LeadId) -> Result<bool, Error> {
        let body = sqlx::query_scalar!(
            "SELECT e.body FROM lead l JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
             WHERE l.company_id = $1 AND l.id = $2 AND l.erased_at IS NULL",
            company.0,
            lead.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let event = body.map(|body| Json::parse(&body).map_err(|_| Error::Corrupt("event"))).transpose()?;
        Ok(event.is_some_and(|event| has_consent(&event)))
    }

    /// The company and id of the lead that a uuid means.
    pub async fn find_lead(&self, company: Option<&str>, uuid: &str) -> Result<(CompanyId, LeadId), Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?;
        find_lead(&mut db, company, uuid).await
    }

    /// The uuids of leads as they were received, in the order of the ids.
    pub async fn lead_uuids(&self, company: CompanyId, leads: &[LeadId]) -> Result<Vec<String>, Error> {
        let ids: Vec<Uuid> = leads.iter().map(|lead| lead.uuid()).collect();
        let uuids = sqlx::query_scalar!(
            "SELECT uuid FROM lead WHERE company_id = $1 AND id = ANY($2) ORDER BY id",
            company.0,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(uuids)
    }

    /// Leads of a company or of all, newest first, those behind `after` only. No index knows how far leads are: those of a
    /// state are looked for, as far as a page may look.
    pub async fn lead_views(
        &self,
        company: Option<&str>,
        state: Option<LeadState>,
        after: Option<LeadPlace>,
        limit: i64,
    ) -> Result<ListPage<LeadView, LeadPlace>, Refusal> {
        let mut tx = bounded::begin(&self.pool).await?;
        let company = find_optional_company(&mut tx, company).await?;
        let wanted = usize::try_from(limit).unwrap_or_default();
        let most = if state.is_some() { STRETCH } else { wanted };
        let from = after.unwrap_or_else(LeadPlace::first);
        let mut leads = LeadsOfState { db: &mut tx, company, state, most };
        let page = bounded::look_through(&mut leads, wanted, from).await?;
        // One that was cut off ended the transaction.
        tx.rollback().await.map_err(Error::from)?;
        // What is shown beside a lead is looked up for those of the page alone.
        let ids: Vec<_> = page.rows.into_iter().map(|row| (row.company_id, row.id)).collect();
        Ok(ListPage { rows: self.leads_by_ids(&ids).await?, stopped: page.stopped })
    }

    /// What became of the lead that a uuid means.
    pub async fn lead_view(&self, company: Option<&str>, uuid: &str) -> Result<LeadStatus, Refusal> {
        let (company, id) = self.find_lead(company, uuid).await?;
        self.lead_status(company, id).await?.ok_or_else(|| Refusal::unknown("lead", id))
    }

    /// What became of a lead of this company; none if it has no such lead.
    pub async fn lead_status(&self, company: CompanyId, id: LeadId) -> Result<Option<LeadStatus>, Error> {
        let body = sqlx::query_scalar!(
            "SELECT e.body FROM lead l JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
             WHERE l.company_id = $1 AND l.id = $2",
            company.0,
            id.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(body) = body else { return Ok(None) };
        let Some(lead) = self.leads_by_ids(&[(company.0, id.uuid())]).await?.pop() else { return Ok(None) };
        let filter = DeliveryFilter { company: Some(company), lead: Some(id), ..DeliveryFilter::default() };
        let deliveries = self.delivery_views(&filter, Order::NewestFirst, None, None).await?;
        Ok(Some(LeadStatus { lead, event: body.into(), deliveries }))
    }
}
