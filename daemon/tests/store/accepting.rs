//! What the doors commit, arm by arm: a flush of new leads, events of known ones, and leads saved by their address.

use leadlined::{
    domain::{
        delivery::{Reason, State},
        fanout::{Arrival, Fate},
        ids::{CompanyId, DeliveryId, EventId, FormId, KeyId, LeadId},
        integration::EventKind,
        trace::TraceContext,
    },
    store::{
        Error,
        company::{form::FormView, key::KeyRights},
        lead::{
            Reaccepted,
            intake::{Flushed, NewEvent},
            save::{SaveKey, Saved},
        },
    },
};
use serde_json::json;

use super::{
    bench::{Bench, wait_for_lock},
    invariants::check_invariants,
};

impl Bench {
    async fn new_event(&mut self, fate: &Fate) -> NewEvent {
        self.event(self.company, LeadId::generate(), EventKind::Created, fate).await
    }

    async fn updated(&mut self, lead: LeadId, fate: &Fate) -> NewEvent {
        self.event(self.company, lead, EventKind::Updated, fate).await
    }
}

#[tokio::test]
async fn each_event_of_a_flush_gets_its_own_answer() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    bench.integration(other, "mill").await;
    let known = bench.pending().await.id;
    let new = bench.new_event(&Fate::Pending).await;
    let again = bench.event(bench.company, known, EventKind::Created, &Fate::Pending).await;
    let stale = NewEvent { version: new.version - 1, ..bench.new_event(&Fate::Pending).await };
    let theirs = bench.event(other, known, EventKind::Created, &Fate::Pending).await;
    let nobodys = NewEvent { company: CompanyId(99), ..bench.new_event(&Fate::Pending).await };
    let mut lock = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM company WHERE id = $1 FOR UPDATE")
        .bind(other.0)
        .execute(&mut *lock)
        .await
        .unwrap();
    let flush = [new.clone(), again, stale, theirs.clone(), nobodys];
    let answers = bench.store.accept(&flush).await.unwrap();
    let expected = [Flushed::Created, Flushed::Known, Flushed::Stale, Flushed::Locked, Flushed::Stale];
    assert_eq!(answers, expected);
    assert_eq!(
        (bench.count("lead").await, bench.count("event").await, bench.count("delivery").await),
        (2, 2, 2)
    );
    lock.rollback().await.unwrap();
    // The same uuid is another lead of another company.
    assert_eq!(bench.store.accept(&[theirs]).await.unwrap(), [Flushed::Created]);
    assert_eq!(bench.store.accept(&[new]).await.unwrap(), [Flushed::Known]);
    assert_eq!(bench.store.accept(&[]).await.unwrap(), []);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn what_is_decided_of_a_lead_is_where_each_delivery_stands() {
    let mut bench = Bench::new().await;
    for name in ["second", "third"] {
        bench.integration(bench.company, name).await;
    }
    let mut event = bench.new_event(&Fate::Pending).await;
    let flow = Reason::FlowFails { flow: "vip".into(), problem: "no field".into() };
    event.deliveries[1].fate = Fate::Held(flow.clone());
    event.deliveries[2].fate = Fate::Skipped(Reason::NoConsent);
    event.trace = TraceContext::from_bytes(&[1; 25]);
    bench.store.accept(std::slice::from_ref(&event)).await.unwrap();
    let [pending, held, skipped] = [0, 1, 2].map(|n| event.deliveries[n].id);
    assert_eq!(bench.stands(pending).await, ("pending".into(), None));
    assert_eq!(bench.stands(held).await, ("held".into(), Some("flow_fails".into())));
    assert_eq!(bench.stands(skipped).await, ("skipped".into(), Some("no_consent".into())));
    assert_eq!(bench.store.facts(held).await.unwrap().reason, Some(flow));
    assert!(bench.holds("(SELECT d.due_at = q.due_at AND q.kind = 0 AND q.trigger = 'first' FROM due q JOIN delivery d ON d.id = q.delivery_id)").await);
    assert_eq!(bench.count("delivery WHERE (finished_at IS NOT NULL) = (state = 'skipped')").await, 3);
    assert_eq!(bench.count("delivery WHERE automatic AND event = 'lead.created' AND attempts = 0").await, 3);
    check_invariants(&bench.pool).await;
    let item = bench.claim_one().await;
    assert_eq!(item.pending.unwrap().trace, event.trace);
}

#[tokio::test]
async fn leads_of_a_flush_are_pushed_in_its_order() {
    let mut bench = Bench::new().await;
    let mut flush = Vec::new();
    for _ in 0..4 {
        flush.push(bench.new_event(&Fate::Pending).await);
    }
    flush.reverse();
    bench.store.accept(&flush).await.unwrap();
    let expected: Vec<DeliveryId> = flush.iter().map(|event| event.deliveries[0].id).collect();
    let claimed: Vec<DeliveryId> = bench.claim(9).await.into_iter().map(|item| item.delivery).collect();
    assert_eq!(claimed, expected);
}

#[tokio::test]
async fn two_flushes_that_bring_the_same_lead_make_one() {
    let mut bench = Bench::new().await;
    let event = bench.new_event(&Fate::Pending).await;
    let other = NewEvent { event: EventId::generate(), ..event.clone() };
    let (one, two) = ([event], [other]);
    let (first, second) = tokio::join!(bench.store.accept(&one), bench.store.accept(&two));
    let mut answers = [first.unwrap().remove(0), second.unwrap().remove(0)];
    answers.sort_by_key(|answer| *answer == Flushed::Known);
    assert_eq!(answers, [Flushed::Created, Flushed::Known]);
    assert_eq!((bench.count("event").await, bench.count("due").await), (1, 1));
}

#[tokio::test]
async fn an_operators_change_makes_a_decision_stale() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await.id;
    let (new, update) = (bench.new_event(&Fate::Pending).await, bench.updated(lead, &Fate::Pending).await);
    let mut command = bench.command().await;
    command.company("The Old Barn").await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.store.accept(&[new]).await.unwrap(), [Flushed::Stale]);
    assert_eq!(bench.store.accept_again(&update).await.unwrap(), Reaccepted::Stale);
    // A change of deliveries alone is none of the doors' business.
    let (new, update) = (bench.new_event(&Fate::Pending).await, bench.updated(lead, &Fate::Pending).await);
    let mut command = bench.command().await;
    command.integration_held("crm").await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.store.accept(&[new]).await.unwrap(), [Flushed::Created]);
    assert!(matches!(bench.store.accept_again(&update).await.unwrap(), Reaccepted::Updated(_)));
}

#[tokio::test]
async fn an_update_of_a_lead_that_is_not_there_yet_comes_again() {
    let mut bench = Bench::new().await;
    let update = bench.updated(LeadId::generate(), &Fate::Pending).await;
    assert_eq!(bench.store.accept_again(&update).await.unwrap(), Reaccepted::Stale);
    assert_eq!(bench.count("event").await, 0);
}

#[tokio::test]
async fn an_update_stands_at_each_integration_by_itself() {
    let mut bench = Bench::new().await;
    for name in ["second", "third"] {
        bench.integration(bench.company, name).await;
    }
    let lead = bench.pending().await;
    let mut update = bench.updated(lead.id, &Fate::Pending).await;
    update.deliveries[1].fate = Fate::Held(Reason::IntegrationDisabled);
    update.deliveries[2].fate = Fate::Skipped(Reason::NoFlow);
    let Reaccepted::Updated(written) = bench.store.accept_again(&update).await.unwrap() else { panic!() };
    let told: Vec<_> = written.iter().map(|one| (one.state.known().unwrap(), one.reason.clone())).collect();
    let waits = format!("waits for {}", lead.deliveries[0]);
    assert_eq!(
        told,
        [
            (State::Pending, Some(waits)),
            (State::Held, Some("integration disabled".to_owned())),
            (State::Skipped, Some("flow: none sends leads here".to_owned())),
        ]
    );
    assert_eq!(bench.count("due").await, 3, "the first event is on its way everywhere");
    check_invariants(&bench.pool).await;
    // What it says now is what the lead is.
    let now =
        "lead WHERE updated_at IS NOT NULL AND event_id = (SELECT id FROM event WHERE kind = 'lead.updated')";
    assert_eq!(bench.count(now).await, 1);
}

#[tokio::test]
async fn an_integration_that_takes_only_new_leads_gets_an_update_of_one_it_never_got() {
    for (before, fate, expected) in [
        (Fate::Pending, Fate::Pending, None),
        (Fate::Skipped(Reason::NoFlow), Fate::Pending, Some(("lead.created", "pending"))),
        (Fate::Skipped(Reason::NoFlow), Fate::Held(Reason::Rotation), Some(("lead.created", "held"))),
        // It stays where it was, and the row that says so is there.
        (Fate::Skipped(Reason::NoFlow), Fate::Skipped(Reason::NoFlow), None),
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.lead(before.clone()).await;
        let mut update = bench.updated(lead.id, &fate).await;
        update.deliveries[0].arrival = Arrival::OnlyCreated;
        bench.store.accept_again(&update).await.unwrap();
        let made: Option<(String, String)> =
            sqlx::query_as("SELECT event, state FROM delivery WHERE id = $1")
                .bind(update.deliveries[0].id.uuid())
                .fetch_optional(&bench.pool)
                .await
                .unwrap();
        let expected = expected.map(|(event, state)| (event.to_owned(), state.to_owned()));
        assert_eq!(made, expected, "{before:?} {fate:?}");
    }
}

#[tokio::test]
async fn two_updates_at_once_stand_one_behind_the_other() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.claim_one().await;
    let (first, second) =
        (bench.updated(lead.id, &Fate::Pending).await, bench.updated(lead.id, &Fate::Pending).await);
    let (one, two) = tokio::join!(bench.store.accept_again(&first), bench.store.accept_again(&second));
    assert!(matches!((one.unwrap(), two.unwrap()), (Reaccepted::Updated(_), Reaccepted::Updated(_))));
    assert_eq!(bench.count("delivery WHERE reason_code = 'superseded'").await, 1);
    assert_eq!(bench.count("delivery WHERE reason_code = 'waits_for'").await, 1);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn an_update_waits_for_whoever_locks_its_lead_and_sees_what_that_did() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let update = bench.updated(lead.id, &Fate::Pending).await;
    let mut command = bench.command().await;
    command.erase_lead(None, &lead.id.to_string()).await.unwrap();
    let rest = async {
        wait_for_lock(&bench.pool).await;
        command.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(bench.store.accept_again(&update), rest);
    assert_eq!(answer.unwrap(), Reaccepted::Erased);
    assert_eq!(bench.count("event").await, 1);
}

#[tokio::test]
async fn the_doors_see_what_is_enabled_and_not_revoked_or_deleted() {
    let bench = Bench::new().await;
    for name in ["disabled", "deleted", "rotating"] {
        bench.integration(bench.company, name).await;
    }
    bench
        .sql(
            "UPDATE integration SET enabled = false WHERE name = 'disabled';
             UPDATE integration SET awaits_cut_over = true WHERE name = 'rotating';
             UPDATE integration SET deleted_at = now() WHERE name = 'deleted';
             UPDATE integration SET events = '{lead.updated}', routing = 'flows', needs_consent = true WHERE name = 'crm'",
        )
        .await;
    let mut command = bench.command().await;
    let rights = KeyRights {
        secret: Some("a secret that signs".into()),
        signature: Default::default(),
        may_read: true,
        allow_origins: vec!["https://barn.example".to_owned()],
        rate_per_second: Some(1.5),
    };
    let key = command.create_key(bench.company, "lk_1", &[1; 32], &rights).await.unwrap();
    let revoked = command.create_key(bench.company, "lk_2", &[2; 32], &rights).await.unwrap();
    command.revoke_key(revoked.id).await.unwrap();
    for (name, enabled) in [("open", true), ("shut", false)] {
        let form = FormView {
            company: bench.company,
            id: FormId::generate(),
            name: name.to_owned(),
            enabled,
            map: json!({}),
            constants: json!({}),
            honeypot: None,
            redirect: Some("https://barn.example/thanks".to_owned()),
            allow_origins: Vec::new(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
        };
        command.write_form(&form).await.unwrap();
    }
    command.commit().await.unwrap();
    let view = bench.store.company_view(bench.company).await.unwrap().unwrap();
    let seen: Vec<_> =
        view.integrations.iter().map(|one| (&*one.name, one.enabled, one.awaits_cut_over)).collect();
    assert_eq!(seen, [("crm", true, false), ("disabled", false, false), ("rotating", true, true)]);
    let crm = &view.integrations[0];
    assert_eq!((&crm.events[..], crm.needs_consent), (&[EventKind::Updated][..], true));
    assert_eq!(view.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [key.id]);
    let seen = &view.keys[0];
    assert!(seen.may_read && seen.signing_secret.is_some());
    assert_eq!((seen.rate_per_second, &*seen.prefix, seen.token_hash), (Some(1.5), "lk_1", [1; 32]));
    assert_eq!(view.forms.len(), 1);
    assert_eq!(view.forms[0].redirect.as_deref(), Some("https://barn.example/thanks"));
    assert!(!view.asks_flows(), "there is none");
    assert!(bench.store.company_view(CompanyId(99)).await.unwrap().is_none());
    assert_eq!(bench.store.company_version(CompanyId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn two_posts_of_a_new_address_make_one_lead() {
    let mut bench = Bench::new().await;
    let version = bench.store.company_version(bench.company).await.unwrap().unwrap();
    let events = [bench.new_event(&Fate::Pending).await, bench.new_event(&Fate::Pending).await];
    let key = |event: &NewEvent| SaveKey {
        company: event.company,
        version,
        email_hash: [9; 32],
        key: KeyId::generate(),
        new_id: event.lead,
    };
    // Whoever comes second is given what the first has written, and merges with that.
    let save = async |event: &NewEvent| {
        let decide = |known: Option<bytes::Bytes>| {
            let mut event = event.clone();
            async move {
                if known.is_some() {
                    return Err("it is known by now");
                }
                event.body = "{\"first\": true}".into();
                Ok(event)
            }
        };
        bench.store.save_lead(&key(event), decide).await.unwrap()
    };
    let (one, two) = tokio::join!(save(&events[0]), save(&events[1]));
    let outcomes = [one, two];
    assert_eq!(outcomes.iter().filter(|one| matches!(one, Ok(Saved::Created(..)))).count(), 1);
    assert_eq!(outcomes.iter().filter(|one| one.is_err()).count(), 1);
    assert_eq!((bench.count("lead").await, bench.count("saved_lead").await), (1, 1));
}

/// Deciding may take as long as a condition may; meanwhile nothing is locked and no connection taken.
#[tokio::test]
async fn a_saved_lead_is_decided_on_beside_the_database_and_anew_if_it_changed_meanwhile() {
    let mut bench = Bench::new().await;
    let first = bench.new_event(&Fate::Pending).await;
    let key = SaveKey {
        company: bench.company,
        version: first.version,
        email_hash: [9; 32],
        key: KeyId::generate(),
        new_id: first.lead,
    };
    let ready = |event: &NewEvent| std::future::ready(Ok::<_, ()>(event.clone()));
    let saved = bench.store.save_lead(&key, |_| ready(&first)).await.unwrap();
    assert!(matches!(saved, Ok(Saved::Created(..))));
    let mut by_other_door = bench.updated(first.lead, &Fate::Pending).await;
    by_other_door.body = r#"{"other": "door"}"#.into();
    let mut merged = bench.updated(first.lead, &Fate::Pending).await;
    merged.body = r#"{"merged": true}"#.into();
    let given = std::sync::Mutex::new(Vec::new());
    let decide = |known: Option<bytes::Bytes>| {
        given.lock().unwrap().push(known.unwrap());
        let (is_first, store, pool) = (given.lock().unwrap().len() == 1, &bench.store, &bench.pool);
        let (by_other_door, merged) = (&by_other_door, &merged);
        async move {
            if is_first {
                let open = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
                let open: i64 = sqlx::query_scalar(open).fetch_one(pool).await.unwrap();
                assert_eq!(open, 0, "a transaction is open meanwhile");
                let updated = store.accept_again(by_other_door).await.unwrap();
                assert!(matches!(updated, Reaccepted::Updated(_)), "{updated:?}");
            }
            Ok::<_, ()>(merged.clone())
        }
    };
    let saved = bench.store.save_lead(&key, decide).await.unwrap();
    assert!(matches!(saved, Ok(Saved::Updated(..))), "{saved:?}");
    assert_eq!(
        *given.lock().unwrap(),
        [first.body, by_other_door.body],
        "it is merged with what stands there"
    );
    assert_eq!(bench.count("event").await, 3);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn an_address_whose_lead_was_erased_begins_a_new_one() {
    let mut bench = Bench::new().await;
    let version = bench.store.company_version(bench.company).await.unwrap().unwrap();
    let first = bench.new_event(&Fate::Pending).await;
    let key = SaveKey {
        company: bench.company,
        version,
        email_hash: [9; 32],
        key: KeyId::generate(),
        new_id: first.lead,
    };
    let saved = bench.store.save_lead(&key, |_| async { Ok::<_, ()>(first.clone()) }).await.unwrap();
    assert!(matches!(saved, Ok(Saved::Created(..))));
    // Erased beside this table, as a crash between two statements would leave it.
    bench.sql("UPDATE lead SET erased_at = now()").await;
    let second = bench.new_event(&Fate::Pending).await;
    let again = SaveKey { new_id: second.lead, key: KeyId::generate(), ..key };
    let given = |known: Option<bytes::Bytes>| {
        assert_eq!(known, None, "nothing of the erased one is told");
        async { Ok::<_, ()>(second.clone()) }
    };
    let saved = bench.store.save_lead(&again, given).await.unwrap();
    assert!(matches!(saved, Ok(Saved::Created(..))), "{saved:?}");
    let meant =
        format!("saved_lead WHERE lead_id = '{}' AND key_id = '{}'", second.lead.uuid(), again.key.uuid());
    assert_eq!(bench.count(&meant).await, 1);
}

#[tokio::test]
async fn a_company_that_is_held_is_waited_for_a_moment_only() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await.id;
    let update = bench.updated(lead, &Fate::Pending).await;
    let mut lock = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM company FOR UPDATE").execute(&mut *lock).await.unwrap();
    let answer = bench.store.accept_again(&update).await;
    assert!(matches!(answer, Err(Error::Locked)), "{answer:?}");
    let key = SaveKey {
        company: bench.company,
        version: update.version,
        email_hash: [9; 32],
        key: KeyId::generate(),
        new_id: LeadId::generate(),
    };
    let saved = bench.store.save_lead(&key, |_| std::future::ready(Ok::<_, ()>(update.clone()))).await;
    assert!(matches!(saved, Err(Error::Locked)), "{saved:?}");
    lock.rollback().await.unwrap();
    assert!(matches!(bench.store.accept_again(&update).await.unwrap(), Reaccepted::Updated(_)));
}
