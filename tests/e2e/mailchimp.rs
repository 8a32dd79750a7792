//! Leads as members of a fake Mailchimp audience: with consent only, and nobody comes back who left.

use std::{collections::BTreeSet, time::Duration};

use leadline_fakes::{Behaviour, Fake, Fault, Receiver, Reply, mailchimp::Mailchimp};
use leadline_proto::v1;
use leadline_tests::{Cli, request_id, wait_until};
use serde_json::{Value, json};

use crate::vendors::Scene;

async fn scene(more: Value) -> (Scene, Fake<Mailchimp>) {
    let fake = Fake::start(Mailchimp::new()).await.unwrap();
    let (list, key) = fake.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
    let mut config = json!({"base_url": fake.url(), "list_id": list});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    (Scene::with("mailchimp", config, json!({"api_key": key})).await, fake)
}

fn email(address: &str) -> impl FnOnce(&mut Value) {
    move |lead| lead["lead"]["email"] = address.into()
}

#[tokio::test]
async fn leads_without_consent_are_skipped_and_never_leave() {
    let (scene, fake) = scene(json!({"tags": "Wedding, Leadline"})).await;
    let answer = scene.post(1, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    assert_eq!(
        (&answer["deliveries"][0]["state"], &answer["deliveries"][0]["reason"]),
        (&json!("skipped"), &json!("consent"))
    );
    let disable =
        v1::DisableIntegrationRequest { request_id: request_id(), integration: scene.integration.clone() };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    let answer = scene.post(2, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    assert_eq!(answer["deliveries"][0]["state"], "skipped");
    let enable = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        ..Default::default()
    };
    scene.operator.integrations().enable_integration(enable).await.unwrap();
    scene.post(3, email("Agreed@Example.com")).await;
    scene.wait_for(1, "delivered").await;
    fake.with(|vendor| {
        assert_eq!((vendor.members.len(), vendor.status_was_said), (1, false));
        let member = vendor.member("agreed@example.com").unwrap();
        assert_eq!(member.status, "pending");
        assert_eq!(member.tags, BTreeSet::from(["Leadline".to_owned(), "Wedding".to_owned()]));
    });
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn the_note_of_an_update_begins_with_what_it_changed() {
    let (scene, fake) = scene(json!({"notes": "yes"})).await;
    let of = |guests: usize| {
        move |lead: &mut Value| {
            lead["lead"]["uuid"] = "01J8H6KQH4YG3XR8RWM6T6XFQ1".into();
            lead["lead"]["gdpr_consent"] = true.into();
            lead["lead"]["email"] = "ada@example.com".into();
            lead["lead"]["guest_count"] = guests.into();
        }
    };
    scene.post(1, of(80)).await;
    scene.wait_for(1, "delivered").await;
    scene.post(1, of(99)).await;
    scene.wait_for(2, "delivered").await;
    let notes = fake.with(|vendor| vendor.member("ada@example.com").unwrap().notes.clone());
    assert!(notes.len() == 2 && notes[1].contains("\nGuests changed: 80 → 99\n"), "{notes:?}");
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn who_took_back_consent_is_not_subscribed_by_an_older_event() {
    let (scene, fake) = scene(json!({})).await;
    let of = |consent: bool| {
        move |lead: &mut Value| {
            lead["lead"]["uuid"] = "01J8H6KQH4YG3XR8RWM6T6XFQ1".into();
            lead["lead"]["gdpr_consent"] = consent.into();
        }
    };
    let integration = scene.integration.clone();
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    scene.post(1, of(true)).await;
    scene.wait_for(1, "held").await;
    let update = scene.post(1, of(false)).await;
    assert_eq!(update["status"], "updated");
    let enable = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        held: v1::HeldChoice::Release.into(),
    };
    scene.operator.integrations().enable_integration(enable).await.unwrap();
    scene.wait_for(2, "skipped").await;
    let reasons: Vec<_> = scene.deliveries().await.into_iter().map(|delivery| delivery.reason).collect();
    assert_eq!(reasons, ["consent", "consent"]);
    let (_, error) = scene.last_failure().await;
    assert_eq!(error, "nothing was sent: the lead took back its consent after this event");
    let health = scene.operator.integration(&scene.integration).await.health.unwrap();
    assert_eq!(
        (health.badge().word(), health.failure_count),
        ("ok", 0),
        "nothing is wrong with the integration"
    );
    assert_eq!(fake.calls().iter().filter(|call| call.starts_with("PUT ")).count(), 0);
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_lead_without_consent_is_skipped_when_it_is_pushed_too() {
    let (scene, fake) = scene(json!({})).await;
    let cli = Cli::new(scene.daemon.socket());
    let hook = Receiver::start(Behaviour::Good).await.unwrap();
    scene.operator.webhook(7, "hook", &hook.url("/"), json!({})).await;
    let uuid = scene.post(1, |lead| lead["lead"]["gdpr_consent"] = false.into()).await;
    hook.wait_for(1).await;
    let remove = v1::DeleteIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        ..Default::default()
    };
    scene.operator.integrations().delete_integration(remove).await.unwrap();
    let (list, key) = fake.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
    let config = json!({"base_url": fake.url(), "list_id": list});
    let later = scene.operator.connect(7, "mailchimp", config, json!({"api_key": key})).await.id;
    let job = cli.json(&["lead", "push", "--company", "7", "--unsynced", "--integration", &later]).await;
    assert_eq!(
        ["leads", "released", "delivered"].map(|key| job[key].clone()),
        [json!(1), json!(0), json!(0)]
    );
    let made = scene.operator.deliveries_of(&later).await;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].state().word(), &*made[0].reason), ("skipped", "consent"));
    let again = cli.run(&["lead", "push", uuid["lead"].as_str().unwrap(), "--integration", &later]).await;
    assert_eq!((again.code, scene.operator.deliveries_of(&later).await.len()), (0, 1), "said once");
    assert_eq!(fake.with(|vendor| vendor.members.len()), 0);
    scene.end().await;
    hook.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn consent_that_comes_with_an_update_makes_a_new_lead() {
    for only_created in [false, true] {
        let (scene, fake) = scene(json!({})).await;
        if only_created {
            let change = v1::UpdateIntegrationRequest {
                request_id: request_id(),
                integration: scene.integration.clone(),
                events: vec![v1::Event::LeadCreated.into()],
                ..Default::default()
            };
            scene.operator.integrations().update_integration(change).await.unwrap();
        }
        let mut kept = Value::Null;
        let mut changed = async |guests: u64, consent: bool| {
            let lead = |lead: &mut Value| {
                if kept.is_null() {
                    kept = lead.clone();
                }
                (kept["lead"]["guest_count"], kept["lead"]["gdpr_consent"]) = (guests.into(), consent.into());
                *lead = kept.clone();
            };
            scene.post(1, lead).await["deliveries"].as_array().unwrap().len()
        };
        let updates = usize::from(!only_created);
        assert_eq!((changed(80, false).await, changed(81, false).await), (1, updates));
        assert_eq!((changed(82, true).await, changed(83, true).await), (1, updates));
        let left = 1 + updates;
        scene.wait_for(left, "delivered").await;
        let deliveries = scene.deliveries().await;
        let reported: Vec<_> = deliveries.iter().map(|it| (it.event().word(), it.state().word())).collect();
        let (created, updated) = ("lead.created", "lead.updated");
        if only_created {
            assert_eq!(reported, [(created, "skipped"), (created, "delivered")]);
        } else {
            let all =
                [(created, "skipped"), (updated, "skipped"), (created, "delivered"), (updated, "delivered")];
            assert_eq!(reported, all);
        }
        assert_eq!(fake.with(|vendor| vendor.members.len()), 1);
        scene.end().await;
        fake.stop().await;
    }
}

#[tokio::test]
async fn a_push_that_broke_off_goes_on_with_the_tags_in_another_daemon_too() {
    let (scene, fake) = scene(json!({"tags": "Wedding, Leadline"})).await;
    fake.fault("PUT ", Fault::Close);
    fake.fault("PUT ", Fault::ActThenClose);
    scene.post(1, email("twice@example.com")).await;
    scene.wait_for(1, "delivered").await;
    fake.with(|vendor| {
        assert_eq!((vendor.members.len(), vendor.member("twice@example.com").unwrap().puts), (1, 2))
    });

    fake.fault("POST ", Fault::Close);
    scene.post(2, email("once@example.com")).await;
    wait_until("the tags broke off", async || fake.faults_left() == 0).await;
    let scene = scene.restarted().await;
    scene.wait_for(2, "delivered").await;
    fake.with(|vendor| {
        let member = vendor.member("once@example.com").unwrap();
        assert_eq!((vendor.members.len(), member.puts, member.tags.len()), (2, 1, 2));
    });
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn nobody_who_left_is_subscribed_again() {
    let (scene, fake) = scene(json!({"tags": "Wedding, Leadline"})).await;
    scene.post(1, email("left@example.com")).await;
    scene.wait_for(1, "delivered").await;
    for (n, status) in ["unsubscribed", "cleaned", "archived"].into_iter().enumerate() {
        fake.with(|vendor| vendor.members.values_mut().for_each(|member| member.status = status.into()));
        scene.post(10 + n, email("LEFT@example.com")).await;
        scene.wait_for(2 + n, "delivered").await;
        fake.with(|vendor| {
            assert_eq!((vendor.members.len(), vendor.status_was_said), (1, false));
            assert_eq!(vendor.member("left@example.com").unwrap().status, status);
        });
    }
    fake.with(|vendor| {
        vendor.in_compliance.insert("complained@example.com".into());
        vendor.forgotten.insert("erased@example.com".into());
    });
    for (n, (address, title)) in [
        ("complained@example.com", "Member In Compliance State"),
        ("erased@example.com", "Forgotten Email Not Subscribed"),
    ]
    .into_iter()
    .enumerate()
    {
        scene.post(3 + n, email(address)).await;
        scene.wait_for(1 + n, "dead").await;
        let (class, error) = scene.last_failure().await;
        assert_eq!(class, "rejected");
        assert!(error.starts_with(&format!("mailchimp {title} ")), "{error}");
    }
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn what_forms_require_keeps_no_lead_out_and_long_texts_fit() {
    let (scene, fake) = scene(json!({})).await;
    fake.with(|vendor| vendor.required.insert("ADDRESS".into()));
    scene.post(1, |lead| lead["lead"]["name"] = "👰".repeat(90).into()).await;
    scene.wait_for(1, "delivered").await;
    fake.with(|vendor| assert_eq!(vendor.members.len(), 1));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_throttle_dressed_as_a_refusal_makes_the_integration_wait() {
    let (scene, fake) = scene(json!({"tags": "Wedding, Leadline"})).await;
    fake.fault("PUT ", Fault::Answer(Reply::status(403)));
    scene.post(1, |_| {}).await;
    assert_eq!(scene.last_failure().await, ("throttled".into(), "mailchimp 403 Forbidden".into()));
    assert_eq!(scene.deliveries().await[0].state().word(), "pending");
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_test_names_the_account_and_a_key_is_tried_first() {
    let (scene, fake) = scene(json!({"tags": "Wedding, Leadline"})).await;
    fake.with(|vendor| vendor.merge_fields.retain(|(tag, _)| tag != "PHONE"));
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    let view = scene.operator.integration(&scene.integration).await;
    assert_eq!(view.account, "Innkept Ltd, audience Leads (0 members)");
    assert_eq!(view.findings, ["lead.phone: unknown merge field PHONE"]);
    let refused = scene.operator.set_credentials(&scene.integration, json!({"api_key": "wrong-us21"})).await;
    assert_eq!((refused.state().word(), refused.failure_class().word()), ("failed", "credentials"));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test]
async fn no_more_than_four_calls_are_made_at_once() {
    let (scene, fake) = scene(json!({})).await;
    let slow = Duration::from_millis(500);
    fake.with(|vendor| vendor.takes = slow);
    for n in 0..12 {
        scene.post(n, email(&format!("lead{n}@example.com"))).await;
    }
    scene.wait_for(12, "delivered").await;
    assert_eq!(fake.with(|vendor| vendor.crowded), 0);
    let mut calls = fake.requests();
    calls.retain(|call| call.method == "PUT");
    assert_eq!(calls.len(), 12);
    for five in calls.windows(5) {
        assert!(five[4].at - five[0].at >= slow, "a fifth call came while four were on their way");
    }
    scene.end().await;
    fake.stop().await;
}
