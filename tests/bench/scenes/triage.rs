//! What people look at, on a large database: lists, cards, failures and searches. Plans of what is slow are shown.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use leadline_proto::v1::{
    self, activity_service_client::ActivityServiceClient, failure_service_client::FailureServiceClient,
};
use leadline_tests::Operator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

use crate::{
    Options, Report,
    figures::{Budget, Sample},
    leadline::Leadline,
    load::millis,
};

/// How often each is looked at.
const LOOKS: usize = 20;
const COMPANIES: i64 = 50;
/// All, one of the small ones, and the one that has half of everything.
const COMPANIES_ASKED: [&str; 3] = ["", "7", "1"];
/// What is slower is told with its plan.
const SLOW: &str = "20ms";

pub(super) async fn look(executable: &Path, options: &Options, report: &mut Report) {
    let leads = options.rows.unwrap_or(100_000);
    report.section(&format!("{leads} leads, {} attempts", leads * 10));
    let mut leadline = Leadline::start(executable).await;
    for company in 1..=COMPANIES {
        let urls: Vec<_> = (0..5).map(|n| format!("http://127.0.0.1:9/{n}")).collect();
        leadline.company(company, &urls, 4).await;
    }
    fill(&leadline, leads).await;
    looks(&leadline, LOOKS, report).await;
    // Once more with plans, which make every statement slower.
    leadline.explain(SLOW).await;
    looks(&leadline, 1, &mut Report::default()).await;
    println!("\nPlans of what took longer than {SLOW}:\n{}", leadline.server_log());
}

async fn fill(leadline: &Leadline, leads: i64) {
    let started = Instant::now();
    let mut database = leadline.database().await;
    let sql = include_str!("many.sql").replace("$leads", &leads.to_string());
    let mut tx = database.begin().await.unwrap();
    tx.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    tx.commit().await.unwrap();
    database.execute("VACUUM ANALYZE").await.unwrap();
    // The daemon names the causes of what died, a batch at a time.
    let unnamed = "SELECT EXISTS (SELECT FROM undelivered WHERE cause_id IS NULL)";
    while sqlx::query_scalar::<_, bool>(unnamed).fetch_one(&mut database).await.unwrap() {
        sleep(Duration::from_secs(1)).await;
    }
    database.execute("CHECKPOINT").await.unwrap();
    println!("  filled in {:.0} s", started.elapsed().as_secs_f64());
}

/// Looks so often at each, and tells how long it took.
async fn looks(leadline: &Leadline, times: usize, report: &mut Report) {
    let operator = leadline.operator().await;
    let dead = v1::DeliveryFilter { states: vec![v1::DeliveryState::Dead.into()], ..Default::default() };
    let page = operator.deliveries().list_deliveries(listing(dead)).await.unwrap().into_inner();
    let one = &page.deliveries[0];
    delivery_lists(&operator, one, times, report).await;
    attempt_lists(&operator, one, times, report).await;
    cards(leadline, &operator, one, times, report).await;
    for company in COMPANIES_ASKED {
        for (name, state) in [("", v1::LeadState::Unspecified), (", unsynced", v1::LeadState::Unsynced)] {
            let request = || v1::ListLeadsRequest {
                company: company.into(),
                state: state.into(),
                ..Default::default()
            };
            timed(report, times, &format!("list of leads{name}{}", of(company)), || async {
                operator.leads().list_leads(request()).await
            })
            .await;
        }
        let request = || v1::ListActivityRequest { company: company.into(), ..Default::default() };
        timed(report, times, &format!("activity{}", of(company)), || async {
            ActivityServiceClient::new(leadline.channel().await).list_activity(request()).await
        })
        .await;
        timed(report, times, &format!("failures{}", of(company)), || async {
            let request = v1::ListFailuresRequest { company: company.into(), ..Default::default() };
            FailureServiceClient::new(leadline.channel().await).list_failures(request).await
        })
        .await;
    }
    timed(report, times, "integrations", || async {
        operator.integrations().list_integrations(v1::ListIntegrationsRequest::default()).await
    })
    .await;
    searches(&operator, times, report).await;
}

async fn delivery_lists(operator: &Operator, one: &v1::Delivery, times: usize, report: &mut Report) {
    use v1::{DeliveryFilter, DeliveryState, FailureClass};
    let none = DeliveryFilter::default;
    let in_state = |state: DeliveryState| DeliveryFilter { states: vec![state.into()], ..none() };
    let of_class = |class: FailureClass| DeliveryFilter { failure_class: class.into(), ..none() };
    let says = |error: &str| DeliveryFilter { error: error.into(), ..none() };
    for (name, filter) in [
        ("dead", in_state(DeliveryState::Dead)),
        ("skipped", in_state(DeliveryState::Skipped)),
        ("undelivered", DeliveryFilter { undelivered: true, ..none() }),
        ("of an integration", DeliveryFilter { integration: one.integration_id.clone(), ..none() }),
        ("of a class that many have", of_class(FailureClass::Rejected)),
        ("of a class that few have", of_class(FailureClass::Credentials)),
        ("of an error that few have", says("guest_name")),
        ("of an error that none has", says("quetzalcoatl")),
    ] {
        let call = || async { operator.deliveries().list_deliveries(listing(filter.clone())).await };
        timed(report, times, &format!("list of deliveries, {name}"), call).await;
    }
}

async fn attempt_lists(operator: &Operator, one: &v1::Delivery, times: usize, report: &mut Report) {
    let none = v1::ListAttemptsRequest::default;
    let class = || vec![v1::FailureClass::Credentials.into()];
    let day = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    let day = v1::Window { since: Some(day.into()), until: None };
    for (name, request) in [
        ("of an integration", v1::ListAttemptsRequest { integration: one.integration_id.clone(), ..none() }),
        ("of a class that few have", v1::ListAttemptsRequest { failure_classes: class(), ..none() }),
        (
            "of that class, of a day",
            v1::ListAttemptsRequest { failure_classes: class(), at: Some(day), ..none() },
        ),
        ("answered with 500", v1::ListAttemptsRequest { status_code: 500, ..none() }),
        (
            "answered with 500, of a day",
            v1::ListAttemptsRequest { status_code: 500, at: Some(day), ..none() },
        ),
    ] {
        let call = || async { operator.attempts().list_attempts(request.clone()).await };
        timed(report, times, &format!("attempts {name}"), call).await;
    }
}

async fn cards(
    leadline: &Leadline,
    operator: &Operator,
    one: &v1::Delivery,
    times: usize,
    report: &mut Report,
) {
    timed(report, times, "card of a delivery", || async {
        operator.deliveries().get_delivery(v1::GetDeliveryRequest { id: one.id.clone() }).await
    })
    .await;
    let uuid = sqlx::query_scalar::<_, uuid::Uuid>("SELECT id FROM lead ORDER BY id DESC OFFSET 7 LIMIT 1");
    let uuid = ulid::Ulid::from(uuid.fetch_one(&mut leadline.database().await).await.unwrap()).to_string();
    timed(report, times, "card of a lead", || async {
        operator.leads().get_lead(v1::GetLeadRequest { uuid: uuid.clone(), company: String::new() }).await
    })
    .await;
    timed(report, times, "card of an integration", || async {
        let integration = one.integration_id.clone();
        operator.integrations().get_integration(v1::GetIntegrationRequest { integration }).await
    })
    .await;
    let request = v1::ListAttemptsRequest { delivery: one.id.clone(), ..Default::default() };
    let attempts = operator.attempts().list_attempts(request).await.unwrap().into_inner().attempts;
    timed(report, times, "card of an attempt", || async {
        operator.attempts().get_attempt(v1::GetAttemptRequest { id: attempts[0].id.clone() }).await
    })
    .await;
    for company in COMPANIES_ASKED {
        let mut failures = FailureServiceClient::new(leadline.channel().await);
        let request = v1::ListFailuresRequest { company: company.into(), ..Default::default() };
        let page = failures.list_failures(request).await.unwrap().into_inner();
        timed(report, times, &format!("card of a failure{}", of(company)), || async {
            let cause = page.failures[0].cause.clone();
            let request = v1::GetFailureRequest { cause, company: company.into() };
            FailureServiceClient::new(leadline.channel().await).get_failure(request).await
        })
        .await;
    }
    for company in &COMPANIES_ASKED[1..] {
        timed(report, times, &format!("page{}", of(company)), || async {
            let request = v1::GetCompanyPageRequest { company: (*company).into() };
            operator.companies().get_company_page(request).await
        })
        .await;
    }
}

async fn searches(operator: &Operator, times: usize, report: &mut Report) {
    for (name, text) in [
        ("one lead in a million", "lead.4242@"),
        ("nobody", "quetzalcoatl"),
        ("a name in ten", "sarah"),
        ("two names", "sarah patel"),
        ("everybody", "example.com"),
        ("a few hundred", "patel 4f"),
    ] {
        for company in COMPANIES_ASKED {
            let request =
                || v1::FindLeadsRequest { text: text.into(), company: company.into(), ..Default::default() };
            timed(report, times, &format!("find {name}{}", of(company)), || async {
                operator.leads().find_leads(request()).await
            })
            .await;
        }
    }
    // What nobody says has all looked through that one search may look through.
    for (name, text) in [("what nobody says", "quetzalcoatl"), ("a name in ten", "sarah")] {
        for company in COMPANIES_ASKED {
            let request = || v1::FindLeadsAnywhereRequest {
                text: text.into(),
                company: company.into(),
                ..Default::default()
            };
            timed(report, times, &format!("find {name} anywhere{}", of(company)), || async {
                operator.leads().find_leads_anywhere(request()).await
            })
            .await;
        }
    }
}

fn of(company: &str) -> &'static str {
    match company {
        "" => "",
        "1" => " of the largest company",
        _ => " of a company",
    }
}

fn listing(filter: v1::DeliveryFilter) -> v1::ListDeliveriesRequest {
    v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() }
}

async fn timed<T>(
    report: &mut Report,
    times: usize,
    name: &str,
    look: impl AsyncFn() -> Result<Response<T>, Status>,
) {
    let mut taken = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        look().await.unwrap();
        taken.push(millis(started.elapsed()));
    }
    let taken = Sample::new(taken);
    report.held_to(Budget::AtMost(100.0), &format!("{name}, p50"), taken.quantile(0.5), "ms");
    report.figure(&format!("{name}, p99"), taken.quantile(0.99), "ms");
}
