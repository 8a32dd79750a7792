//! Which known leads are pushed where: each way in which a lead may stand at an integration, and what a push makes of it.

use leadlined::{
    domain::{
        fanout::Fate,
        ids::{DeliveryId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        job::JobState,
        lane::LaneId,
    },
    store::{
        job::{JobLane, JobWork},
        queue::push::{Choice, NewPush, Pushed},
    },
};
use sqlx::AssertSqlSafe;

use super::{bench::Bench, invariants::check_invariants};

/// How a lead stands at an integration; none if it never went there.
type StateThere = Option<&'static str>;

const STATES_THERE: [StateThere; 6] =
    [None, Some("pending"), Some("held"), Some("dead"), Some("delivered"), Some("skipped")];
const CONSENT: &str = r#"{"lead": {"gdpr_consent": true}}"#;
const NO_CONSENT: &str = r#"{"lead": {"gdpr_consent": false}}"#;

impl Bench {
    /// A lead that stands so at these integrations.
    async fn lead_at(
        &mut self,
        body: &str,
        places: &[(IntegrationId, StateThere)],
    ) -> (LeadId, Vec<DeliveryId>) {
        let lead = LeadId::generate();
        let mut event = self.event(self.company, lead, EventKind::Created, &Fate::Pending).await;
        event.body = body.to_owned().into();
        event.deliveries.retain(|delivery| {
            places.iter().any(|(id, state)| *id == delivery.integration && state.is_some())
        });
        let ids = event.deliveries.iter().map(|delivery| delivery.id).collect();
        self.store.accept(&[event]).await.unwrap();
        for (integration, state) in places {
            let Some(state) = state.filter(|state| *state != "pending") else { continue };
            let reason = if state == "held" { "rotation" } else { "no_flow" };
            let of = format!("lead_id = '{}' AND integration_id = '{}'", lead.uuid(), integration.uuid());
            self.sql(&format!(
                "DELETE FROM due WHERE delivery_id IN (SELECT id FROM delivery WHERE {of});
                 UPDATE delivery SET state = '{state}', reason_code = '{reason}', due_at = NULL,
                     finished_at = CASE WHEN '{state}' <> 'held' THEN now() END WHERE {of};
                 INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
                 SELECT company_id, integration_id, id, lead_id, state FROM delivery
                 WHERE {of} AND state IN ('held', 'dead');
                 UPDATE integration_stat s SET dead = (SELECT count(*) FROM undelivered u
                     WHERE u.integration_id = s.integration_id AND u.state = 'dead')"
            ))
            .await;
        }
        (lead, ids)
    }

    async fn push_to(&self, new: &NewPush, lead: LeadId) -> Vec<Pushed> {
        let mut command = self.command().await;
        let pushed = command.push_leads(new, &[lead.uuid()]).await.unwrap();
        command.commit().await.unwrap();
        pushed
    }

    async fn route(&self, routing: &str, needs_consent: bool) {
        self.sql(&format!("UPDATE integration SET routing = '{routing}', needs_consent = {needs_consent}"))
            .await;
    }

    /// The leads that lanes would get, as the forecast counts them and as a job's steps find them.
    async fn chosen(&self, lane: LaneId, choice: Choice) -> Vec<LeadId> {
        let (lanes, count, first) =
            self.store.push_lanes(self.company, &[lane.integration], choice, 100).await.unwrap();
        let total: i64 = lanes.iter().map(|lane| lane.total).sum();
        assert_eq!((total, lanes.len()), (count, usize::from(count > 0)));
        assert_eq!(lanes.first().map(|lane| lane.last), first.last().map(|lead| lead.uuid()));
        first
    }
}

fn new(bench: &Bench, by_flows: bool) -> NewPush {
    NewPush { company: bench.company, integration: bench.crm, by_flows, job: None }
}

#[tokio::test]
async fn a_push_goes_where_nothing_is_on_its_way() {
    let mut bench = Bench::new().await;
    for (state, is_pushed) in [
        (None, true),
        (Some("pending"), false),
        (Some("held"), false),
        (Some("dead"), true),
        (Some("delivered"), true),
        (Some("skipped"), true),
    ] {
        let (lead, ids) = bench.lead_at(NO_CONSENT, &[(bench.crm, state)]).await;
        let pushed = bench.push_to(&new(&bench, false), lead).await;
        assert_eq!(
            (pushed.len(), pushed.iter().all(|one| one.is_queued())),
            (usize::from(is_pushed), true),
            "{state:?}"
        );
        for one in pushed {
            let due = format!(
                "due WHERE delivery_id = '{}' AND kind = 0 AND trigger = 'manual' AND operator = 'ann'",
                one.delivery().uuid()
            );
            assert_eq!(bench.count(&due).await, 1, "{state:?}");
        }
        if let (Some("dead"), [old]) = (state, &ids[..]) {
            assert_eq!(bench.stands(*old).await, ("skipped".into(), Some("replaced".into())));
        }
        check_invariants(&bench.pool).await;
    }
}

#[tokio::test]
async fn who_did_not_consent_is_pushed_nowhere_that_asks_for_it_and_is_told_once() {
    let mut bench = Bench::new().await;
    bench.route("all", true).await;
    for (body, state, expected) in [
        (CONSENT, None, Some(true)),
        (CONSENT, Some("delivered"), Some(true)),
        (NO_CONSENT, None, Some(false)),
        (NO_CONSENT, Some("dead"), Some(false)),
        (NO_CONSENT, Some("delivered"), None),
        (NO_CONSENT, Some("skipped"), None),
    ] {
        let (lead, _) = bench.lead_at(body, &[(bench.crm, state)]).await;
        let pushed = bench.push_to(&new(&bench, false), lead).await;
        assert_eq!(pushed.first().map(|one| one.is_queued()), expected, "{body} {state:?}");
        if let Some(Pushed::Skipped(id)) = pushed.first() {
            assert_eq!(bench.stands(*id).await, ("skipped".into(), Some("no_consent".into())));
        }
        check_invariants(&bench.pool).await;
    }
}

#[tokio::test]
async fn where_flows_decide_a_push_repeats_only_what_they_sent() {
    let mut bench = Bench::new().await;
    for (routing, by_flows, pushed) in [
        ("flows", true, [false, false, false, true, true, false]),
        ("flows", false, [true, false, false, true, true, true]),
        ("all", true, [true, false, false, true, true, true]),
    ] {
        bench.route(routing, false).await;
        for (state, is_pushed) in STATES_THERE.into_iter().zip(pushed) {
            let (lead, _) = bench.lead_at(CONSENT, &[(bench.crm, state)]).await;
            let made = bench.push_to(&new(&bench, by_flows), lead).await;
            assert_eq!(made.len(), usize::from(is_pushed), "{routing} {by_flows} {state:?}");
        }
    }
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn a_push_brings_what_the_lead_is_now_as_a_new_lead() {
    let mut bench = Bench::new().await;
    let (lead, _) = bench.lead_at(CONSENT, &[(bench.crm, Some("delivered"))]).await;
    let own = bench.push_to(&new(&bench, false), lead).await;
    let event = format!(
        "(SELECT d.event_id = l.event_id FROM delivery d JOIN lead l ON l.id = d.lead_id WHERE d.id = '{}')",
        own[0].delivery().uuid()
    );
    assert!(bench.holds(&event).await, "the event that made it");
    bench.sql("DELETE FROM due; UPDATE delivery SET state = 'delivered', finished_at = now(), reason_code = NULL").await;
    bench.update(lead).await;
    bench.sql("DELETE FROM due; UPDATE delivery SET state = 'delivered', finished_at = now(), reason_code = NULL").await;
    let anew = bench.push_to(&new(&bench, false), lead).await;
    let event = format!(
        "(SELECT e.kind = 'lead.created' AND d.event = 'lead.created' AND NOT d.automatic AND d.event_id <> l.event_id
          FROM delivery d JOIN lead l ON l.id = d.lead_id JOIN event e ON e.id = d.event_id WHERE d.id = '{}')",
        anew[0].delivery().uuid()
    );
    assert!(bench.holds(&event).await, "the content of an update, told as a new lead");
}

#[tokio::test]
async fn an_erased_or_unknown_lead_is_pushed_nowhere() {
    let mut bench = Bench::new().await;
    let (lead, _) = bench.lead_at(CONSENT, &[(bench.crm, None)]).await;
    let mut command = bench.command().await;
    command.erase_lead(None, &lead.to_string()).await.unwrap();
    command.commit().await.unwrap();
    for lead in [lead, LeadId::generate()] {
        assert_eq!(bench.push_to(&new(&bench, false), lead).await, []);
    }
    for choice in [Choice::Missing, Choice::Unsynced] {
        assert!(bench.chosen(bench.lane(), choice).await.is_empty());
    }
}

#[tokio::test]
async fn leads_are_chosen_by_how_they_stand_there_and_elsewhere() {
    let mut bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    // Another company's leads are never meant.
    let stranger = bench.add_company("The Mill").await;
    bench.integration(stranger, "theirs").await;
    let event = bench.event(stranger, LeadId::generate(), EventKind::Created, &Fate::Pending).await;
    bench.store.accept(&[event]).await.unwrap();
    let mut leads = Vec::new();
    for here in STATES_THERE {
        for there in [None, Some("delivered"), Some("dead")] {
            let (lead, _) = bench.lead_at(CONSENT, &[(bench.crm, here), (other, there)]).await;
            leads.push((lead, here, there));
        }
    }
    for routing in ["all", "flows"] {
        bench.route(routing, false).await;
        let those = |is_meant: &dyn Fn(StateThere, StateThere) -> bool| -> Vec<LeadId> {
            leads.iter().filter(|(_, here, there)| is_meant(*here, *there)).map(|lead| lead.0).collect()
        };
        assert_eq!(
            bench.chosen(bench.lane(), Choice::Missing).await,
            those(&|here, _| here.is_none()),
            "{routing}"
        );
        let unsynced = |here: StateThere, there: StateThere| {
            let is_synced = here == Some("delivered") || there == Some("delivered");
            !is_synced && (here == Some("dead") || here.is_none() && routing == "all")
        };
        assert_eq!(bench.chosen(bench.lane(), Choice::Unsynced).await, those(&unsynced), "{routing}");
    }
    let both = [bench.crm, other];
    let (lanes, count, first) =
        bench.store.push_lanes(bench.company, &both, Choice::Missing, 2).await.unwrap();
    let total: i64 = lanes.iter().map(|lane| lane.total).sum();
    assert!(lanes.len() == 2 && count < total, "a lead counts once, however many places it goes to");
    assert_eq!(first.len(), 2, "no more are named than asked for");
}

#[tokio::test]
async fn a_jobs_own_pushes_do_not_end_it_and_others_do() {
    let mut bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    let mut leads = Vec::new();
    for _ in 0..3 {
        leads.push(bench.lead_at(CONSENT, &[(bench.crm, Some("dead")), (other, Some("dead"))]).await.0);
    }
    let lanes: Vec<JobLane> =
        bench.store.push_lanes(bench.company, &[bench.crm, other], Choice::Unsynced, 0).await.unwrap().0;
    let mut command = bench.command().await;
    let work = JobWork::Push { choice: Choice::Unsynced, leads: 3 };
    let job: JobId = command.create_job(work, None, &lanes).await.unwrap();
    command.commit().await.unwrap();
    let step = async |integration| {
        let lane = LaneId::new(bench.company, integration);
        let part = bench.store.job_part(lane, job, 10).await.unwrap().unwrap();
        bench.store.carry_job_on(&part).await.unwrap();
    };
    step(bench.crm).await;
    assert_eq!(bench.store.job(job).await.unwrap().released, 3);
    // One arrived by this job, and one at the same place by somebody else's hand.
    for (lead, job) in [(leads[0], "job_id"), (leads[1], "NULL")] {
        let sql = format!(
            "WITH d AS (UPDATE delivery SET state = 'delivered', finished_at = now(), job_id = {job}, due_at = NULL
                 WHERE lead_id = '{}' AND integration_id = '{}' AND state = 'pending' RETURNING id)
             DELETE FROM due USING d WHERE due.delivery_id = d.id",
            lead.uuid(),
            bench.crm.uuid()
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&bench.pool).await.unwrap();
    }
    step(other).await;
    let pushed = format!(
        "delivery WHERE integration_id = '{}' AND state = 'pending' AND lead_id IN ('{}', '{}')",
        other.uuid(),
        leads[0].uuid(),
        leads[2].uuid()
    );
    assert_eq!(bench.count(&pushed).await, 2, "the one that somebody synced is left alone");
    let view = bench.store.job(job).await.unwrap();
    assert_eq!((view.total, view.released, view.leads), (6, 5, Some(3)));
    assert_eq!(view.state, JobState::Running, "not all of them have ended");
}

#[tokio::test]
async fn what_arrived_since_a_job_chose_it_is_not_pushed_twice() {
    let mut bench = Bench::new().await;
    for (choice, state, is_pushed) in [
        (Choice::Missing, "delivered", false),
        (Choice::Unsynced, "delivered", false),
        (Choice::Missing, "dead", false),
        (Choice::Unsynced, "dead", true),
    ] {
        let (lead, _) = bench.lead_at(CONSENT, &[(bench.crm, Some(state))]).await;
        let by_job = NewPush { job: Some((JobId::generate(), choice)), ..new(&bench, false) };
        assert_eq!(!bench.push_to(&by_job, lead).await.is_empty(), is_pushed, "{choice:?} {state}");
    }
}

#[tokio::test]
async fn nothing_is_pushed_beside_what_only_a_newer_daemon_knows() {
    let mut bench = Bench::new().await;
    let places = [(bench.crm, Some("delivered"))];
    let ((lead, _), (newer, _)) =
        (bench.lead_at(CONSENT, &places).await, bench.lead_at(CONSENT, &places).await);
    bench.forget_checks("delivery").await;
    bench.sql(&format!("UPDATE delivery SET state = 'comet' WHERE lead_id = '{}'", newer.uuid())).await;
    let mut command = bench.command().await;
    let pushed = command.push_leads(&new(&bench, false), &[lead.uuid(), newer.uuid()]).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(pushed.len(), 1, "the other one is");
}
