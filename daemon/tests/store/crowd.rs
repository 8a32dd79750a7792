//! A crowd: deliveries in every state, for every reason, of two companies, at integrations that are enabled, disabled
//! and deleted; and what tests of lists must know of each.

use leadlined::{
    domain::{
        delivery::{Reason, State, Transition},
        fanout::Fate,
        ids::{CompanyId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        lane::LaneId,
        outcome::{Failure, FailureClass, Outcome},
        person::Person,
        plan::Plan,
    },
    store::{
        delivery::read::DeliveryFilter,
        job::JobWork,
        queue::{claim::Claimed, retry::RetryOptions},
    },
};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::bench::{Bench, dead, ended, exhausted, retry};

/// What a test of lists knows of a delivery, told as plainly as SQL can.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) company_id: i64,
    pub(crate) integration_id: Uuid,
    pub(crate) lead_id: Uuid,
    pub(crate) state: String,
    pub(crate) job_id: Option<Uuid>,
    pub(crate) is_enabled: bool,
    pub(crate) is_erased: bool,
    /// Of its last attempt, or what it died of.
    pub(crate) class: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause_id: Option<i64>,
    /// When it was delivered, or came to be.
    pub(crate) at: i64,
    pub(crate) died_at: Option<i64>,
}

const KNOWN: &str = "
    SELECT d.id, d.company_id, d.integration_id, d.lead_id, d.state, d.job_id, i.enabled AS is_enabled,
        l.erased_at IS NOT NULL AS is_erased, coalesce(u.class, a.class) AS class, coalesce(u.error, a.error) AS error,
        u.cause_id, (extract(epoch FROM CASE d.state WHEN 'delivered' THEN d.finished_at ELSE d.created_at END)
            * 1000000)::bigint AS at, (extract(epoch FROM u.since) * 1000000)::bigint AS died_at
    FROM delivery d
    JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id AND i.deleted_at IS NULL
    JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
    LEFT JOIN undelivered u ON u.delivery_id = d.id AND d.state = 'dead'
    LEFT JOIN attempt a ON a.delivery_id = d.id AND a.number = d.attempts
    ORDER BY d.id";

/// What is known of the deliveries that lists may show, oldest first.
pub(crate) async fn known(pool: &PgPool) -> Vec<Known> {
    sqlx::query_as(KNOWN).fetch_all(pool).await.unwrap()
}

pub(crate) struct Crowd {
    pub(crate) bench: Bench,
    pub(crate) other_company: CompanyId,
    pub(crate) disabled: IntegrationId,
    /// The job that brought some of them back.
    pub(crate) job: JobId,
    pub(crate) leads: Vec<LeadId>,
    pub(crate) running: Vec<Claimed>,
}

impl Bench {
    /// Pushes what is due in a lane, and ends it with this error.
    pub(crate) async fn push_in(&mut self, lane: LaneId, how: &Transition, error: &str) {
        let own = (self.company, self.crm);
        (self.company, self.crm) = (lane.company, lane.integration);
        let item = self.claim_one().await;
        (self.company, self.crm) = own;
        let mut end = ended(&item, how);
        if let Outcome::Failed(failure) = &mut end.result.outcome {
            *failure = Failure::new(failure.class, error);
        }
        self.store.finish(self.daemon, &[end], &[item.claim]).await.unwrap();
    }

    pub(crate) async fn add_company(&self, name: &str) -> CompanyId {
        let mut command = self.command().await;
        let company = command.create_company(None, name, Plan::Pro, None).await.unwrap().id;
        command.commit().await.unwrap();
        company
    }

    /// A lead of somebody, who wrote this, with its fate at each integration of its company.
    pub(crate) async fn somebody(
        &mut self,
        company: CompanyId,
        name: &str,
        body: &str,
        fate: &Fate,
    ) -> LeadId {
        let lead = LeadId::generate();
        let mut event = self.event(company, lead, EventKind::Created, fate).await;
        let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
        event.person = Person { name: name.to_owned(), email, phone: "+44 20 7946 0001".to_owned() };
        event.body = body.to_owned().into();
        self.store.accept(&[event]).await.unwrap();
        lead
    }

    pub(crate) async fn name_all_causes(&self) {
        self.store.name_causes().await.unwrap();
    }
}

/// How the leads of a crowd end at the lanes of their company.
fn endings() -> Vec<(Option<Transition>, &'static str)> {
    vec![
        (Some(Transition::Delivered), ""),
        (Some(dead()), "No Such Field"),
        (Some(dead()), "duplicate of 100% _x"),
        (Some(exhausted()), "out of order"),
        (Some(retry()), "out of order"),
        (Some(Transition::Skipped { reason: Reason::NoConsent }), "out of reach"),
        (None, ""),
    ]
}

pub(crate) async fn crowd() -> Crowd {
    let mut bench = Bench::new().await;
    let (company, other_company) = (bench.company, bench.add_company("The Mill").await);
    let disabled = bench.integration(company, "mail").await;
    let mill = bench.integration(other_company, "mill").await;
    let mut leads = Vec::new();
    for of in [company, other_company] {
        let lanes: Vec<IntegrationId> = if of == company { vec![bench.crm, disabled] } else { vec![mill] };
        for (n, (how, error)) in endings().into_iter().enumerate() {
            // A retry that is due would be taken before the next lead.
            bench.sql("UPDATE due SET due_at = due_at + interval '1 hour' WHERE due_at < now()").await;
            let body = format!(
                r#"{{"lead": {{"name": "Lead {n}"}}, "quote": {{"total_pence": {}, "currency": "EUR"}}}}"#,
                n * 100
            );
            leads.push(bench.somebody(of, &format!("Lead {n}"), &body, &Fate::Pending).await);
            let Some(how) = how else { continue };
            for lane in &lanes {
                bench.push_in(LaneId::new(of, *lane), &how, error).await;
            }
        }
        leads.push(bench.somebody(of, "Held", "{}", &Fate::Held(Reason::IntegrationDisabled)).await);
        leads.push(bench.somebody(of, "Kept Away", "{}", &Fate::Skipped(Reason::NoFlow)).await);
    }
    let mut crowd =
        Crowd { bench, other_company, disabled, job: JobId::generate(), leads, running: Vec::new() };
    crowd.move_some().await;
    crowd.spread().await;
    crowd
}

impl Crowd {
    /// What operators do with some of them.
    async fn move_some(&mut self) {
        let bench = &mut self.bench;
        // One that failed is held, one that is dead is skipped, an update waits for one, and one was erased.
        let of_lead = |n: usize| DeliveryFilter { lead: Some(self.leads[n]), ..DeliveryFilter::default() };
        let failed = bench.store.targets(&of_lead(4)).await.unwrap();
        let mut command = bench.command().await;
        let held = Reason::HeldByOperator("ann".into());
        command.hold(bench.company, &[failed[0].id], &held).await.unwrap();
        let dead = bench.store.targets(&of_lead(2)).await.unwrap();
        command.skip(bench.company, &[dead[0].id], &Reason::skipped("ann")).await.unwrap();
        command.commit().await.unwrap();
        bench.update(self.leads[6]).await;
        let erased = bench.somebody(bench.company, "Erased", "{}", &Fate::Pending).await;
        let mut command = bench.command().await;
        command.erase_lead(None, &erased.to_string()).await.unwrap();
        command.commit().await.unwrap();
        self.leads.push(erased);
        // A job brings back what died of one error.
        let filter = DeliveryFilter {
            company: Some(bench.company),
            states: vec![State::Dead],
            class: Some(FailureClass::Transient),
            ..DeliveryFilter::default()
        };
        let mut lanes = bench.store.job_lanes(&filter).await.unwrap();
        lanes.retain(|lane| lane.id.integration == bench.crm);
        let mut command = bench.command().await;
        let work = JobWork::Retry { filter: &filter, re_render: false };
        self.job = command.create_job(work, None, &lanes).await.unwrap();
        let of_lane = DeliveryFilter { integration: Some(bench.crm), ..filter };
        let targets = bench.store.targets(&of_lane).await.unwrap();
        let options = RetryOptions { is_bulk: true, job: Some(self.job), re_render: false };
        command.retry(bench.company, &targets, options).await.unwrap();
        command.commit().await.unwrap();
        bench.name_all_causes().await;
        // One is being pushed, and what is left of a deleted integration is nowhere to be seen.
        bench.sql("UPDATE due SET due_at = now() WHERE kind = 0").await;
        self.running = bench.claim(1).await;
        let gone = bench.integration(bench.company, "gone").await;
        for fate in [Fate::Pending, Fate::Held(Reason::Rotation)] {
            let lead = LeadId::generate();
            let mut event = bench.event(bench.company, lead, EventKind::Created, &fate).await;
            event.deliveries.retain(|delivery| delivery.integration == gone);
            bench.store.accept(&[event]).await.unwrap();
            self.leads.push(lead);
        }
        bench.sql("UPDATE integration SET enabled = false WHERE name IN ('mail', 'gone')").await;
        bench.sql("UPDATE integration SET deleted_at = now() WHERE name = 'gone'").await;
    }

    /// Everything happened at a time of its own, some of it at the same.
    async fn spread(&self) {
        self.bench
            .sql(
                "WITH n AS (SELECT id, row_number() OVER (ORDER BY id) / 2 AS n FROM delivery)
                 UPDATE delivery d SET created_at = now() - (20 - n.n) * interval '1 hour',
                     finished_at = CASE WHEN finished_at IS NOT NULL
                         THEN now() - (10 - n.n % 10) * interval '1 hour' END
                 FROM n WHERE n.id = d.id;
                 WITH n AS (SELECT delivery_id, row_number() OVER (ORDER BY delivery_id) AS n FROM undelivered)
                 UPDATE undelivered u SET since = now() - (20 - n.n) * interval '1 hour'
                 FROM n WHERE n.delivery_id = u.delivery_id",
            )
            .await;
    }
}
