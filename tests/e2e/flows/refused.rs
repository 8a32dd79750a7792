//! What is refused of flows, and that nothing is half-applied after it.

use super::*;

#[tokio::test]
async fn what_cannot_be_a_flow_is_refused_and_changes_nothing() {
    let scene = Scene::start().await;
    scene.operator.company(8).await;
    scene.integration("crm", &["--routing", "flows"]).await;
    let elsewhere = scene.operator.webhook(8, "elsewhere", &scene.receiver.url("/"), json!({})).await;
    let elsewhere = elsewhere.integration.unwrap().id;
    scene.flow("taken", "true", &["crm"], &[]).await;
    let before = scene.daemon.database().contents().await;
    let flow = v1::CreateFlowRequest {
        company: "7".into(),
        name: "new".into(),
        when: "true".into(),
        then: vec!["crm".into()],
        ..Default::default()
    };
    type Change<'a> = &'a dyn Fn(&mut v1::CreateFlowRequest);
    let cases: [(Change<'_>, Code, &str); 9] = [
        (
            &|it| it.when = "lead.emial == ''".into(),
            Code::InvalidArgument,
            "when: line 1, column 1: unknown field lead.emial; did you mean lead.email?",
        ),
        (
            &|it| it.when = "lead.guest_count > '5'".into(),
            Code::InvalidArgument,
            "when: > does not go with an integer and text",
        ),
        (
            &|it| it.when = String::new(),
            Code::InvalidArgument,
            "when: the condition is empty; write true to take every lead",
        ),
        (&|it| it.name = " ".into(), Code::InvalidArgument, "name: give 1 to 200 characters"),
        (&|it| it.name = "taken".into(), Code::AlreadyExists, "company 7 has a flow \"taken\" already"),
        (&|it| it.then = Vec::new(), Code::InvalidArgument, "then: name at least one integration"),
        (&|it| it.then = vec!["crn".into()], Code::NotFound, "no integration \"crn\""),
        (&|it| it.then = vec![elsewhere.clone()], Code::NotFound, "no integration"),
        (&|it| it.company = "9".into(), Code::NotFound, "no company \"9\""),
    ];
    for (change, code, reported) in cases {
        let mut request = v1::CreateFlowRequest { request_id: request_id(), ..flow.clone() };
        change(&mut request);
        let status = scene.operator.flows().create_flow(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().starts_with(reported) && !status.message().contains('\n'), "{status}");
        if request.company == "7" && request.then != [""; 0] && request.name != "taken" {
            let update = v1::UpdateFlowRequest {
                request_id: request_id(),
                flow: "taken".into(),
                name: Some(request.name),
                when: Some(request.when),
                then: request.then,
                ..Default::default()
            };
            let status = scene.operator.flows().update_flow(update).await.unwrap_err();
            assert!(status.message().starts_with(reported), "{status}");
        }
    }
    assert_eq!(scene.daemon.database().contents().await, before);
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_flow_is_refused_and_changes_nothing() {
    let scene = Scene::start().await;
    scene.integration("crm", &["--routing", "flows"]).await;
    scene.flow("taken", "true", &["crm"], &[]).await;
    let before = scene.daemon.database().contents().await;
    for (request, reported) in [
        (v1::TestFlowRequest::default(), "name a flow, or a company and a condition"),
        (v1::TestFlowRequest { company: "7".into(), ..Default::default() }, "when: give the condition"),
        (
            v1::TestFlowRequest { flow: "taken".into(), company: "7".into(), ..Default::default() },
            "name a flow or a company, not both",
        ),
        (
            v1::TestFlowRequest { flow: "taken".into(), last: 10_001, ..Default::default() },
            "last 10001: at most 10000",
        ),
    ] {
        let status = scene.operator.flows().test_flow(request).await.unwrap_err();
        assert!(status.message().starts_with(reported), "{status}");
    }
    let ran = scene.cli.run(&["flow", "show", "nobody"]).await;
    assert_eq!(ran.error(1), "no flow \"nobody\": `leadline flow list` shows those there are");
    assert_eq!(scene.daemon.database().contents().await, before);
    scene.end().await;
}
