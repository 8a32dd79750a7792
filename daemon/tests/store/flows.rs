//! Flows as operators write them, and what they held settled once they can be asked.

use leadlined::{
    domain::{
        delivery::Reason,
        fanout::Fate,
        ids::{FlowId, IntegrationId, LeadId},
        integration::EventKind,
    },
    store::{
        flow::{FlowView, held::Settled},
        lead::Reaccepted,
    },
};

use super::bench::Bench;

fn held() -> Fate {
    Fate::Held(Reason::FlowFails { flow: "London".to_owned(), problem: "no such field".to_owned() })
}

impl Bench {
    fn flow(&self, name: &str, position: i32) -> FlowView {
        FlowView {
            company: self.company,
            id: FlowId::generate(),
            name: name.to_owned(),
            position,
            when: "lead.country == 'GB'".to_owned(),
            then: vec![(self.crm, "crm".to_owned())],
            enabled: true,
            stop: false,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    async fn written_flow(&self, flow: &FlowView) -> FlowView {
        let mut command = self.command().await;
        command.write_flow(flow).await.unwrap();
        let written = command.flow_view(flow.company, flow.id).await.unwrap();
        command.commit().await.unwrap();
        written
    }

    async fn flows(&self) -> Vec<(String, i32)> {
        let flows = self.store.flow_views(Some("The Old Barn"), None, 10).await.unwrap();
        flows.into_iter().map(|flow| (flow.name, flow.position)).collect()
    }

    async fn settle(&self, version: i64, settled: &Settled) -> bool {
        let mut command = self.command().await;
        let is_settled = command.settle_held_by_flows(self.company, version, settled).await.unwrap();
        command.commit().await.unwrap();
        is_settled
    }
}

fn places(flows: &[(&str, i32)]) -> Vec<(String, i32)> {
    flows.iter().map(|(name, position)| ((*name).to_owned(), *position)).collect()
}

#[tokio::test]
async fn flows_are_asked_in_an_order_without_gaps() {
    let bench = Bench::new().await;
    let first = bench.written_flow(&bench.flow("first", 1)).await;
    bench.written_flow(&bench.flow("last", 99)).await;
    bench.written_flow(&bench.flow("new first", -3)).await;
    assert_eq!(bench.flows().await, places(&[("new first", 1), ("first", 2), ("last", 3)]));
    bench.written_flow(&FlowView { position: 3, ..first.clone() }).await;
    assert_eq!(bench.flows().await, places(&[("new first", 1), ("last", 2), ("first", 3)]));
    let mut command = bench.command().await;
    let (_, gone) = command.flow("new first").await.unwrap();
    command.delete_flow(&gone).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.flows().await, places(&[("last", 1), ("first", 2)]), "those behind it move up");
}

#[tokio::test]
async fn a_flow_is_found_by_id_or_name_and_names_its_integrations() {
    let bench = Bench::new().await;
    let mailing = bench.integration(bench.company, "mailing").await;
    let flow = bench.written_flow(&bench.flow("London", 1)).await;
    assert_eq!(flow.then, [(bench.crm, "crm".to_owned())]);
    let mut command = bench.command().await;
    let meant = ["mailing".to_owned(), mailing.to_string(), "crm".to_owned()];
    let then = command.integrations_meant(bench.company, &meant).await.unwrap();
    assert_eq!(then.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [mailing, bench.crm], "each once");
    let unknown = command.integrations_meant(bench.company, &["nowhere".to_owned()]).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no integration \"nowhere\"");
    command.commit().await.unwrap();
    let then = vec![(mailing, "mailing".to_owned())];
    assert_eq!(bench.written_flow(&FlowView { then, ..flow.clone() }).await.then[0].0, mailing);
    for reference in ["London", &flow.id.to_string()] {
        assert_eq!(bench.store.flow_view(reference).await.unwrap().id, flow.id);
    }
    for (reference, expected) in [
        ("", "name a flow, by its id or its name"),
        ("a\0", "no flow \"a\\0\""),
        ("York", "no flow \"York\""),
    ] {
        assert_eq!(bench.store.flow_view(reference).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn who_takes_all_and_whom_nobody_sends_anything_is_said() {
    let bench = Bench::new().await;
    let routed = bench.integration(bench.company, "routed").await;
    bench.sql("UPDATE integration SET routing = 'flows' WHERE name = 'routed'").await;
    let mut command = bench.command().await;
    let both = [(bench.crm, "crm".to_owned()), (routed, "routed".to_owned())];
    assert_eq!(command.takers_of_all(bench.company, &both).await.unwrap(), ["crm"]);
    assert_eq!(command.unreached(bench.company).await.unwrap(), ["routed"]);
    command.commit().await.unwrap();
    let flow = FlowView { then: vec![(routed, "routed".to_owned())], ..bench.flow("London", 1) };
    bench.written_flow(&flow).await;
    let mut command = bench.command().await;
    assert!(command.unreached(bench.company).await.unwrap().is_empty());
    command.write_flow(&FlowView { enabled: false, ..flow }).await.unwrap();
    assert_eq!(command.unreached(bench.company).await.unwrap(), ["routed"], "a disabled flow sends nothing");
}

#[tokio::test]
async fn a_name_of_a_flow_is_taken_once_and_flows_have_an_end() {
    let bench = Bench::new().await;
    let flow = bench.written_flow(&bench.flow("London", 1)).await;
    let mut command = bench.command().await;
    command.flow_name_is_free(bench.company, "York").await.unwrap();
    let taken = command.flow_name_is_free(bench.company, "London").await.unwrap_err();
    let company = bench.company;
    let expected =
        format!("company {company} has a flow \"London\" already ({}): choose another name", flow.id);
    assert_eq!(taken.to_string(), expected);
    assert_eq!(command.room_for_flow(company).await.unwrap(), 1);
    bench
        .sql(
            "INSERT INTO flow (company_id, id, name, position, condition, enabled, stop)
             SELECT company_id, gen_random_uuid(), n::text, n, condition, true, false
             FROM flow CROSS JOIN generate_series(2, 200) n",
        )
        .await;
    let full = command.room_for_flow(company).await.unwrap_err();
    assert!(full.to_string().starts_with(&format!("company {company} has 200 flows, and 200 are the most")));
}

#[tokio::test]
async fn conditions_are_tried_on_the_newest_leads() {
    let mut bench = Bench::new().await;
    let [older, newer] = [bench.pending().await.id, bench.pending().await.id];
    let leads = async |after, limit| {
        let events = bench.store.stored_events(bench.company, after, limit).await.unwrap();
        events.iter().map(|event| event.lead).collect::<Vec<_>>()
    };
    assert_eq!(leads(None, 10).await, [newer, older]);
    assert_eq!(leads(None, 1).await, [newer]);
    let place = async |lead: LeadId| bench.store.lead_place(None, &lead.to_string()).await.unwrap();
    assert_eq!(leads(Some(place(newer).await), 10).await, [older]);
    // Whatever uuids their senders gave.
    bench
        .sql(&format!(
            "UPDATE lead SET received_at = received_at - interval '1 day' WHERE id = '{}'",
            newer.uuid()
        ))
        .await;
    assert_eq!(leads(None, 10).await, [older, newer]);
    assert_eq!(leads(Some(place(older).await), 10).await, [newer]);
}

#[tokio::test]
async fn what_a_flow_held_is_let_go_kept_away_or_held_on() {
    let mut bench = Bench::new().await;
    let leads = [bench.lead(held()).await, bench.lead(held()).await, bench.lead(held()).await];
    bench.held().await;
    let all = bench.store.held_by_flows(bench.company, None, 10).await.unwrap();
    let ids: Vec<_> = leads.iter().map(|lead| lead.deliveries[0]).collect();
    assert_eq!(
        all.iter().map(|one| one.delivery).collect::<Vec<_>>(),
        ids,
        "others are held for other reasons"
    );
    assert_eq!(all[0].integration, bench.crm);
    let page = bench.store.held_by_flows(bench.company, Some(ids[0]), 1).await.unwrap();
    assert_eq!(page[0].delivery, ids[1]);
    let other = Reason::FlowFails { flow: "York".to_owned(), problem: "no such field".to_owned() };
    let settled = Settled {
        released: vec![(ids[0], all[0].event)],
        skipped: vec![(ids[1], Reason::NoFlow)],
        held: vec![(ids[2], other)],
    };
    let version = bench.store.company_version(bench.company).await.unwrap().unwrap();
    assert!(!bench.settle(version - 1, &settled).await);
    assert_eq!(bench.state(ids[0]).await, "held", "it was decided by what the company is no more");
    assert!(bench.settle(version, &settled).await);
    assert_eq!(bench.state(ids[0]).await, "pending");
    assert_eq!(bench.stands(ids[1]).await, ("skipped".into(), Some("no_flow".into())));
    assert_eq!(bench.stands(ids[2]).await, ("held".into(), Some("flow_fails".into())));
    // Again, it finds nothing that flows still hold but the last one.
    let again =
        Settled { skipped: ids.iter().map(|id| (*id, Reason::NoFlow)).collect(), ..Settled::default() };
    assert!(bench.settle(version, &again).await);
    assert_eq!(bench.state(ids[0]).await, "pending", "who was let go stays so");
    assert_eq!(bench.state(ids[2]).await, "skipped");
}

#[tokio::test]
async fn what_a_flow_held_brings_what_the_lead_is_by_now() {
    let mut bench = Bench::new().await;
    let lead = bench.lead(held()).await;
    let first = bench.store.held_by_flows(bench.company, None, 10).await.unwrap().remove(0);
    bench.update(lead.id).await;
    // The update has a delivery of its own: the held one brings what it was made for.
    let held = bench.store.held_by_flows(bench.company, None, 10).await.unwrap();
    let held = held.iter().find(|one| one.delivery == lead.deliveries[0]).map(|one| one.event);
    assert_eq!(held, Some(first.event));
}

#[tokio::test]
async fn what_a_flow_held_brings_the_update_that_has_no_delivery_of_its_own() {
    let mut bench = Bench::new().await;
    let lead = bench.lead(held()).await;
    let first = bench.store.held_by_flows(bench.company, None, 10).await.unwrap().remove(0);
    // The integration takes creations only.
    let mut update = bench.event(bench.company, lead.id, EventKind::Updated, &Fate::Pending).await;
    (update.deliveries, update.body) = (Vec::new(), r#"{"lead":{"name":"Ada"}}"#.into());
    assert!(matches!(bench.store.accept_again(&update).await.unwrap(), Reaccepted::Updated(_)));
    let now = bench.store.held_by_flows(bench.company, None, 10).await.unwrap().remove(0);
    assert_ne!(now.event, first.event);
    assert_eq!((now.event, &now.body), (update.event, &update.body), "it is judged by what the lead is now");
    let settled = Settled { released: vec![(now.delivery, now.event)], ..Settled::default() };
    let version = bench.store.company_version(bench.company).await.unwrap().unwrap();
    assert!(bench.settle(version, &settled).await);
    let pushed = bench.claim_one().await.pending.unwrap();
    assert_eq!(pushed.body, update.body, "and pushed by that");
    assert_eq!(pushed.event, EventKind::Created, "to the integration it is new");
}

#[tokio::test]
async fn what_a_newer_daemon_took_in_is_left_to_it() {
    let mut bench = Bench::new().await;
    let (strange, known) = (bench.lead(held()).await, bench.lead(held()).await);
    bench
        .sql(&format!(
            "UPDATE delivery SET event = 'lead.merged' WHERE id = '{}'",
            strange.deliveries[0].uuid()
        ))
        .await;
    let held = bench.store.held_by_flows(bench.company, None, 10).await.unwrap();
    assert_eq!(held.iter().map(|one| one.delivery).collect::<Vec<_>>(), [known.deliveries[0]]);
    bench.sql("ALTER TABLE event DROP CONSTRAINT event_kind_check").await;
    bench.sql("UPDATE event SET kind = 'lead.merged'").await;
    let events = bench.store.stored_events(bench.company, None, 10).await.unwrap();
    // Each is told by its name, and what a condition says of it is not known.
    assert!(events.len() == 2 && events.iter().all(|event| event.kind.known().is_none()), "{events:?}");
}

#[tokio::test]
async fn a_flow_may_send_to_nobody() {
    let bench = Bench::new().await;
    let flow = bench.written_flow(&FlowView { then: Vec::new(), ..bench.flow("London", 1) }).await;
    assert_eq!(flow.then, Vec::<(IntegrationId, String)>::new());
}
