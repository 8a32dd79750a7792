//! Leads that are known already: pushed to where they never arrived.

use leadline_proto::v1::lead_service_client::LeadServiceClient;
use leadline_tests::Cli;

use super::*;

#[tokio::test]
async fn leads_that_came_before_an_integration_are_pushed_to_it_once() {
    let scene = scene_of(refusing(), json!({ "retries": 0 }), Duration::from_secs(900)).await;
    for n in 1..=3 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 3]).await;
    let later = Receiver::start(Behaviour::Good).await.unwrap();
    let new = scene.operator.webhook(7, "later", &later.url("/"), json!({})).await.integration.unwrap().id;
    scene.post(4).await;
    later.wait_for(1).await;
    let cli = Cli::new(scene.daemon.socket());
    let missing = ["lead", "push", "--company", "7", "--unsynced", "--integration", "later"];
    let plan = cli.json(&[&missing[..], &["--dry-run"]].concat()).await;
    assert_eq!((&plan["count"], plan["sample"].as_array().unwrap().len()), (&json!(3), 3));
    assert_eq!(later.count(), 1, "a dry run pushes nothing");
    let job = cli.json(&missing).await;
    let reported = ["kind", "state", "leads", "released", "delivered"].map(|key| job[key].clone());
    assert_eq!(reported, [json!("push"), json!("done"), json!(3), json!(3), json!(3)]);
    let events: Vec<_> =
        later.requests().iter().map(|it| it.header("x-leadline-event").unwrap().to_owned()).collect();
    assert_eq!(events, ["lead.created"; 4]);
    let pushed = scene.operator.deliveries_of(&new).await;
    assert!(pushed.iter().all(|delivery| delivery.state().word() == "delivered"));
    assert_eq!(cli.json(&missing).await["leads"], 0, "nothing is missing any more");
    let dead = ["delivery", "retry", "--integration", "later"];
    assert_eq!(cli.json(&dead).await["kind"], "retry");
    for (command, note) in [
        (&missing[..], "Nothing to push: every lead has arrived or is on its way.\n"),
        (&dead[..], "Nothing to retry: no delivery meets the filter.\n"),
    ] {
        let nothing = cli.run(&[command, &["-o", "table"]].concat()).await;
        assert_eq!((nothing.code, &*nothing.stderr), (0, note));
    }
    let states = cli.json(&["lead", "list", "--state", "pushed"]).await;
    assert_eq!(states.as_array().unwrap().len(), 4, "the first integration has not got them");
    scene.end().await;
    later.stop().await;
}

#[tokio::test]
async fn unsynced_leads_are_pushed_everywhere_with_their_current_content() {
    let scene =
        scene_of(Behaviour::RefuseAll(422, "no".into()), json!({ "retries": 0 }), Duration::from_secs(900))
            .await;
    let mut changed = sample_lead(1);
    scene.post_lead(&changed).await;
    scene.wait_for_states(&["dead"]).await;
    let of = if changed.get("lead").is_some() { &mut changed["lead"] } else { &mut changed };
    of["guest_count"] = json!(77);
    scene.post_lead(&changed).await;
    scene.post(2).await;
    scene.wait_for_states(&["dead"; 3]).await;
    let cli = Cli::new(scene.daemon.socket());
    let unsynced = cli.json(&["lead", "list", "--state", "unsynced"]).await;
    assert_eq!(unsynced.as_array().unwrap().len(), 2);
    scene.receiver.set(Behaviour::Good);
    let job = cli.json(&["lead", "push", "--company", "7", "--unsynced"]).await;
    assert_eq!((&job["leads"], &job["delivered"]), (&json!(2), &json!(2)), "one delivery a lead: {job}");
    let deliveries = scene.deliveries().await;
    let dead =
        deliveries.iter().filter(|it| it.state().word() == "skipped" && it.reason.starts_with("replaced by"));
    assert_eq!(dead.count(), 3);
    let bodies: Vec<Value> = scene.receiver.requests()[3..]
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert!(bodies.iter().all(|body| body["event"] == "lead.created"));
    assert!(bodies.iter().any(|body| body["lead"]["guest_count"] == 77), "{bodies:#?}");
    assert!(cli.json(&["lead", "list", "--state", "unsynced"]).await.as_array().unwrap().is_empty());

    let uuid = bodies[0]["lead"]["uuid"].as_str().unwrap();
    let attempts = cli.json(&["lead", "push", uuid, "--integration", "crm"]).await;
    let reported = ["state", "trigger"].map(|key| attempts[0][key].clone());
    assert_eq!(reported, [json!("delivered"), json!("manual")], "once more, because an operator says so");
    scene.receiver.set(Behaviour::RefuseAll(422, "no".into()));
    let failed = cli.run(&["lead", "push", uuid, "-o", "json"]).await;
    assert_eq!(failed.code, 1);
    scene.end().await;
}

#[tokio::test]
async fn all_unsynced_leads_go_to_every_integration_and_the_job_tells_how_far_it_is() {
    let scene = scene_of(refusing(), json!({ "retries": 0 }), Duration::from_secs(900)).await;
    for n in 1..=4 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 4]).await;
    let later = Receiver::start(Behaviour::Good).await.unwrap();
    for name in ["mail", "sheet"] {
        scene.operator.webhook(7, name, &later.url(&format!("/{name}")), json!({})).await;
    }
    scene.receiver.set(Behaviour::Good);
    let mut push = LeadServiceClient::new(scene.daemon.control().await);
    let request = v1::PushLeadsRequest {
        request_id: request_id(),
        company: "7".into(),
        unsynced: true,
        ..Default::default()
    };
    let started = push.push_leads(request).await.unwrap().into_inner();
    let mut jobs = JobServiceClient::new(scene.daemon.control().await);
    let request = v1::WatchJobRequest { id: started.job_id };
    let mut changes = jobs.watch_job(request).await.unwrap().into_inner();
    let mut reported = Vec::new();
    while let Some(told) = changes.message().await.unwrap() {
        let job = told.job.unwrap();
        reported.push((job.state().word(), job.total, job.leads, job.released, job.delivered));
    }
    assert_eq!(reported.last(), Some(&("done", 12, Some(4), 12, 12)), "each lead to each of three");
    assert!(reported.is_sorted_by_key(|it| it.3 + it.4), "how far it is only grows: {reported:?}");
    let mut pushed: Vec<_> = later.requests().into_iter().map(|request| request.path).collect();
    pushed.sort();
    assert_eq!(pushed, [["/mail"; 4], ["/sheet"; 4]].concat());
    assert_eq!(scene.receiver.count(), 8, "four that failed and four that arrived");
    scene.end().await;
    later.stop().await;
}

#[tokio::test]
async fn pushes_that_mean_nothing_are_refused_with_the_way_out() {
    let scene = scene_of(Behaviour::Good, json!({}), Duration::from_secs(900)).await;
    let mut push = LeadServiceClient::new(scene.daemon.control().await);
    let request = v1::PushLeadsRequest { request_id: request_id(), ..Default::default() };
    for (request, words) in [
        (request.clone(), "name a lead to push"),
        (
            v1::PushLeadsRequest { lead: "x".into(), unsynced: true, ..request.clone() },
            "either a lead or unsynced",
        ),
        (v1::PushLeadsRequest { unsynced: true, ..request.clone() }, "name a company"),
        (v1::PushLeadsRequest { lead: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(), ..request.clone() }, "no lead"),
    ] {
        let refused = push.push_leads(request).await.unwrap_err();
        assert!(refused.message().contains(words), "{refused}");
    }
    let disable =
        v1::DisableIntegrationRequest { request_id: request_id(), integration: scene.integration.clone() };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    let to_disabled = v1::PushLeadsRequest {
        unsynced: true,
        company: "7".into(),
        integration: scene.integration.clone(),
        ..request
    };
    let refused = push.push_leads(to_disabled).await.unwrap_err();
    assert_eq!(refused.message(), "integration \"crm\" is disabled: enable it first");
    scene.end().await;
}
