//! Leads as they are read, found, saved again, traced and erased.

use std::{collections::HashMap, time::Duration};

use leadlined::{
    domain::{
        delivery::LeadState,
        fanout::Fate,
        ids::{KeyId, LeadId},
        integration::EventKind,
        person::{self, Person},
    },
    store::lead::{
        intake::NewEvent,
        keep::Positions,
        save::{SaveKey, Saved},
        trace::{StepKind, StepState},
    },
};

use super::bench::{Bench, Lead, dead};

const BODY: &str = r#"{"lead": {"name": "Sarah Patel", "email": "sarah@example.com", "consent": true}}"#;

impl Bench {
    /// A lead of somebody.
    async fn lead_of(&mut self, name: &str, email: &str, phone: &str) -> Lead {
        let id = LeadId::generate();
        let mut event = self.event(self.company, id, EventKind::Created, &Fate::Pending).await;
        event.person = Person { name: name.to_owned(), email: email.to_owned(), phone: phone.to_owned() };
        event.body = BODY.into();
        let deliveries = event.deliveries.iter().map(|delivery| delivery.id).collect();
        self.store.accept(&[event]).await.unwrap();
        Lead { id, deliveries }
    }

    async fn found(&self, text: &str) -> Vec<LeadId> {
        let patterns = person::patterns(text).unwrap();
        let found = self.store.find_leads(None, patterns, None, 10).await.unwrap();
        found.leads.iter().map(|lead| lead.id).collect()
    }

    async fn erase(&self, lead: LeadId) {
        let mut command = self.command().await;
        command.erase_lead(None, &lead.to_string()).await.unwrap();
        command.commit().await.unwrap();
    }
}

#[tokio::test]
async fn leads_that_are_erased_or_never_were_are_told_from_the_others() {
    let mut bench = Bench::new().await;
    let (kept, erased) = (bench.pending().await.id, bench.pending().await.id);
    bench.erase(erased).await;
    let ids = [kept, erased, LeadId::generate()].map(|lead| (bench.company, lead));
    let left = bench.store.not_erased(&ids).await.unwrap();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [(bench.company, kept)]);
}

#[tokio::test]
async fn a_lead_is_known_by_its_uuid_within_its_company() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await.id;
    let (store, uuid) = (&bench.store, lead.to_string());
    assert_eq!(store.find_lead(None, &uuid).await.unwrap(), (bench.company, lead));
    assert_eq!(store.find_lead(Some("The Old Barn"), &uuid).await.unwrap().1, lead);
    assert_eq!(store.lead_uuids(bench.company, &[lead, LeadId::generate()]).await.unwrap(), [&*uuid]);
    let known = store.known_leads(bench.company, &[lead, LeadId::generate()]).await.unwrap();
    assert_eq!(known, HashMap::from([(lead, Some(vec![1; 32]))]));
    let unknown = LeadId::generate();
    let refusal = store.find_lead(None, &unknown.to_string()).await.unwrap_err();
    assert_eq!(refusal.to_string(), format!("no lead {unknown}"));
    let refusal = store.find_lead(None, "x").await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "lead \"x\" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7"
    );
    bench.erase(lead).await;
    let known = bench.store.known_leads(bench.company, &[lead]).await.unwrap();
    assert_eq!(known, HashMap::from([(lead, None)]), "an erased one cannot be compared");
}

#[tokio::test]
async fn a_uuid_that_several_companies_know_is_asked_back() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await.id;
    let mut command = bench.command().await;
    let plan = leadlined::domain::plan::Plan::Pro;
    let other = command.create_company(None, "The Mill", plan, None).await.unwrap().id;
    command.commit().await.unwrap();
    bench.integration(other, "other").await;
    let event = bench.event(other, lead, EventKind::Created, &Fate::Pending).await;
    bench.store.accept(&[event]).await.unwrap();
    let refusal = bench.store.find_lead(None, &lead.to_string()).await.unwrap_err();
    let companies = format!("{}, {other}", bench.company);
    let expected = format!("several companies know lead {lead}: name one of the companies {companies}");
    assert_eq!(refusal.to_string(), expected);
    assert_eq!(bench.store.find_lead(Some("The Mill"), &lead.to_string()).await.unwrap().0, other);
}

#[tokio::test]
async fn leads_are_listed_with_who_they_are_and_how_far_they_are() {
    let mut bench = Bench::new().await;
    let sarah = bench.lead_of("Sarah Patel", "sarah@example.com", "+44 20 7946 0001").await;
    let other = bench.lead_of("Tom Hill", "tom@example.com", "").await;
    bench.push(&leadlined::domain::delivery::Transition::Delivered).await;
    let list = async |company, state, after| {
        let leads = bench.store.lead_views(company, state, after, 10).await.unwrap().rows;
        leads.iter().map(|lead| lead.id).collect::<Vec<_>>()
    };
    // Not in the order of the uuids: senders may give any.
    bench
        .sql(&format!(
            "UPDATE lead SET received_at = received_at - interval '1 day' WHERE id = '{}'",
            other.id.uuid()
        ))
        .await;
    let both = [sarah.id, other.id];
    let first = bench.store.lead_place(None, &sarah.id.to_string()).await.unwrap();
    for company in [None, Some("The Old Barn")] {
        assert_eq!(list(company, None, None).await, both);
        assert_eq!(list(company, None, Some(first)).await, both[1..]);
        assert_eq!(list(company, Some(LeadState::Complete), None).await, [sarah.id], "the first was pushed");
        assert_eq!(list(company, Some(LeadState::Unsynced), None).await, [other.id]);
        assert!(list(company, Some(LeadState::Pushed), None).await.is_empty());
    }
    let view = bench.store.lead_view(None, &sarah.id.to_string()).await.unwrap();
    assert_eq!((&*view.lead.person.name, view.lead.undelivered), ("Sarah Patel", 0));
    assert_eq!(view.event, BODY.as_bytes());
    assert_eq!(view.deliveries[0].id, sarah.deliveries[0]);
    assert!(bench.store.lead_status(bench.company, LeadId::generate()).await.unwrap().is_none());
    let ids = [(bench.company, other.id), (bench.company, sarah.id), (bench.company, LeadId::generate())];
    let leads = bench.store.leads_by_ids_of(&ids).await.unwrap();
    assert_eq!(leads.iter().map(|lead| lead.id).collect::<Vec<_>>(), [other.id, sarah.id], "in that order");
}

/// Each page begins behind the last lead of the one before, also where two companies know the same uuid.
#[tokio::test]
async fn pages_of_leads_hold_while_leads_come_in() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await.id;
    let other = bench.add_company("The Mill").await;
    bench.integration(other, "other").await;
    let event = bench.event(other, lead, EventKind::Created, &Fate::Pending).await;
    bench.store.accept(&[event]).await.unwrap();
    let last = bench.pending().await.id;
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.lead_views(None, None, after, 1).await.unwrap().rows;
        let Some(one) = page.first() else { break };
        read.push((one.company, one.id));
        after = Some(one.place().to_string().parse().unwrap());
        bench.pending().await;
    }
    assert_eq!(read, [(bench.company, last), (other, lead), (bench.company, lead)]);
}

#[tokio::test]
async fn people_are_found_by_part_of_what_they_are_called_and_not_once_erased() {
    let mut bench = Bench::new().await;
    let sarah = bench.lead_of("Sarah Patel", "sarah@example.com", "+44 20 7946 0001").await.id;
    let tom = bench.lead_of("Tom Hill", "tom@example.com", "").await.id;
    for (text, expected) in [
        ("patel", vec![sarah]),
        ("SARAH@EX", vec![sarah]),
        ("79460001", vec![sarah]),
        ("hill tom", vec![tom]),
        ("nobody", vec![]),
    ] {
        assert_eq!(bench.found(text).await, expected, "{text}");
    }
    let of = async |email| bench.store.leads_of_person(None, email).await;
    assert_eq!(of(" Sarah@Example.com ").await.unwrap(), [(bench.company, sarah)]);
    assert!(of("arah@example.com").await.unwrap().is_empty(), "the whole address is asked for");
    let refusal = of("sarah").await.unwrap_err().to_string();
    assert_eq!(refusal, "email \"sarah\": give the whole address of a person");
    bench.erase(sarah).await;
    assert!(bench.found("patel").await.is_empty());
    assert!(bench.store.leads_of_person(None, "sarah@example.com").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lead_consents_as_it_stands_and_never_once_erased() {
    let mut bench = Bench::new().await;
    let willing = bench.lead_of("Sarah Patel", "sarah@example.com", "").await.id;
    let silent = bench.pending().await.id;
    let consents = async |lead| bench.store.consents(bench.company, lead).await.unwrap();
    let before = (consents(willing).await, consents(silent).await);
    bench.erase(willing).await;
    assert!(!consents(willing).await && !before.1);
    assert!(!consents(LeadId::generate()).await);
}

#[tokio::test]
async fn a_trace_tells_in_order_what_happened() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    bench.update(lead.id).await;
    bench.erase(lead.id).await;
    let (view, steps) = bench.store.trace(None, &lead.id.to_string()).await.unwrap();
    assert_eq!(view.id, lead.id);
    assert!(steps.is_sorted_by_key(|step| step.at));
    let count = |what| steps.iter().filter(|step| step.what == what).count();
    assert_eq!([count(StepKind::Received), count(StepKind::Attempt), count(StepKind::Erased)], [1, 1, 1]);
    assert_eq!([count(StepKind::Delivery), count(StepKind::Final)], [2, 2]);
    let attempt = steps.iter().find(|step| step.what == StepKind::Attempt).unwrap();
    assert_eq!(attempt.state, Some(StepState::Failed));
    assert!(steps.iter().all(|step| step.what != StepKind::Event
        || step.event.as_ref().is_some_and(|event| *event == EventKind::Updated)));
    assert!(bench.store.trace(None, &LeadId::generate().to_string()).await.is_err());
}

#[tokio::test]
async fn evidence_masks_the_lead_where_asked_and_keeps_every_event() {
    let mut bench = Bench::new().await;
    let lead = bench.lead_of("Sarah Patel", "sarah@example.com", "").await;
    bench.push(&dead()).await;
    let uuid = lead.id.to_string();
    let (of, open, values) = bench.store.evidence(None, &uuid).await.unwrap();
    assert_eq!(of, lead.id);
    assert_eq!((&*open.email, open.masked), ("sarah@example.com", false));
    assert_eq!(open.deliveries[0].attempts[0].error.as_deref(), Some("out of order"));
    let masked = open.mask(&values);
    assert!(masked.masked && !masked.email.contains("sarah") && !masked.name.contains("Patel"));
    sqlx::query("UPDATE delivery SET body = 'Dear Sarah'").execute(&bench.pool).await.unwrap();
    let kept = bench.store.kept_of_lead(bench.company, lead.id).await.unwrap().unwrap();
    assert_eq!((kept.evidence.deliveries.len(), kept.events), (1, vec![BODY.as_bytes().to_vec()]));
    assert_eq!((kept.rendered.len(), &*kept.rendered[0].1), (1, &b"Dear Sarah"[..]));
    assert!(bench.store.kept_of_lead(bench.company, LeadId::generate()).await.unwrap().is_none());
}

#[tokio::test]
async fn evidence_leaves_out_no_attempt_however_many_there_are() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    let more = "CREATE TEMP TABLE more AS SELECT a.* FROM attempt a CROSS JOIN generate_series(1, 399);
                UPDATE more SET id = (left(id::text, 13) || right(gen_random_uuid()::text, 23))::uuid;
                INSERT INTO attempt SELECT * FROM more";
    sqlx::raw_sql(more).execute(&bench.pool).await.unwrap();
    let (_, evidence, _) = bench.store.evidence(None, &lead.id.to_string()).await.unwrap();
    assert_eq!(evidence.deliveries[0].attempts.len(), 400);
}

#[tokio::test]
async fn an_address_makes_one_lead_however_often_it_is_saved() {
    let mut bench = Bench::new().await;
    let version = bench.store.company_version(bench.company).await.unwrap().unwrap();
    let first = bench.event(bench.company, LeadId::generate(), EventKind::Created, &Fate::Pending).await;
    let key = SaveKey {
        company: bench.company,
        version,
        email_hash: [9; 32],
        key: KeyId::generate(),
        new_id: first.lead,
    };
    let save = async |key: SaveKey, event: Result<NewEvent, &'static str>| {
        bench.store.save_lead(&key, |_| std::future::ready(event.clone())).await.unwrap()
    };
    assert_eq!(save(key, Err("no")).await, Err("no"), "what is refused changes nothing");
    assert!(matches!(save(key, Ok(first.clone())).await, Ok(Saved::Created(..))));
    let other = SaveKey { new_id: LeadId::generate(), key: KeyId::generate(), ..key };
    let Ok(Saved::Duplicate(uuid, deliveries, made_with)) = save(other, Ok(first.clone())).await else {
        panic!("the same again is no duplicate")
    };
    assert_eq!((uuid, deliveries.len(), made_with), (first.uuid.clone(), 1, Some(key.key)));
    let stale = SaveKey { version: version - 1, ..key };
    assert_eq!(save(stale, Ok(first.clone())).await, Ok(Saved::Stale));
    let mut changed = first.clone();
    changed.digest = [99; 32];
    changed.kind = EventKind::Updated;
    changed.event = leadlined::domain::ids::EventId::generate();
    changed.deliveries[0].id = leadlined::domain::ids::DeliveryId::generate();
    assert!(matches!(save(other, Ok(changed)).await, Ok(Saved::Updated(..))));
    assert_eq!((bench.count("lead").await, bench.count("event").await), (1, 2));
}

#[tokio::test]
async fn leads_whose_time_is_over_are_erased_once_they_are_done() {
    let mut bench = Bench::new().await;
    let done = bench.lead_of("Sarah Patel", "sarah@example.com", "").await;
    bench.push(&leadlined::domain::delivery::Transition::Delivered).await;
    let open = bench.lead_of("Tom Hill", "tom@example.com", "").await;
    let forget = async |kept| {
        let store = bench.store.clone().keeping(Duration::from_secs(86_400), kept);
        store.forget_leads(&mut Positions::default()).await.unwrap()
    };
    assert_eq!(forget(None).await, 0, "nobody set a span");
    assert_eq!(forget(Some(Duration::from_secs(3600))).await, 0, "both are young");
    // Ids tell when an event was made: the next millisecond is behind it.
    while forget(Some(Duration::ZERO)).await == 0 {}
    let erased = |id: LeadId| format!("(SELECT erased_at IS NOT NULL FROM lead WHERE id = '{}')", id.uuid());
    assert!(bench.holds(&erased(done.id)).await);
    assert!(!bench.holds(&erased(open.id)).await, "somebody still has to act");
    assert_eq!(bench.count("audit WHERE action = 'ForgetLeads' AND after ->> 'erased' = '1'").await, 1);
}
