//! What people do between two pushes, over every CRM: nobody's record is damaged by a lead that says less, or by what
//! sales did meanwhile.

use std::time::Duration;

use leadline_fakes::{
    Fake, PEOPLE,
    dynamics::{self, Dynamics},
    open_account,
    pipedrive::Pipedrive,
    salesforce::{CAMPAIGN, Salesforce},
    sample_lead,
};
use leadline_tests::{Bringing, Cli, Daemon, Database, Operator, Pushing, post_lead, wait_until};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::class_and_error;
use accounts::{mailchimp, pipedrive, salesforce};

mod accounts;
mod matrix;
mod ways;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A lead of somebody, under a uuid of its own.
fn enquiry(n: usize, name: &str) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["name"] = json!(name);
    lead["lead"]["email"] = json!("sarah@example.com");
    lead["lead"]["phone"] = json!("+442079460000");
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

async fn push(pushing: &mut Pushing, lead: &Value) {
    let mut bringing = Bringing::new(EventKind::Created, lead);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
}

/// A record of one lead is called as the lead was whole, however often an update says half of that.
#[tokio::test]
async fn half_a_name_never_takes_the_place_of_the_whole() {
    let mapping = json!({ "lead.uuid": "ref", "lead.email": "email", "lead.name": "name", "lead.guest_count": "guests" });
    for connector in ["airtable", "google_sheets", "rest"] {
        let account = open_account(connector).await.unwrap();
        account.with(|account| account.lift_quotas());
        let mut made = account.connection();
        // Fields are mapped where there is a body template.
        let is_templated = made.config.as_object_mut().unwrap().remove("body").is_some();
        let mapping = if is_templated { mapping.clone() } else { Value::Null };
        let mut pushing = Pushing::new(connector, made.config, made.credentials, mapping, TIMEOUT);
        let mut lead = enquiry(1, "Sarah Patel");
        for (kind, name, guests, expected) in [
            (EventKind::Created, "Sarah Patel", 80, "Sarah Patel"),
            (EventKind::Updated, "Patel", 80, "Sarah Patel"),
            (EventKind::Updated, "patel", 99, "Sarah Patel"),
            (EventKind::Updated, "sarah@example.com", 99, "Sarah Patel"),
            (EventKind::Updated, "Sarah Jones", 99, "Sarah Jones"),
            (EventKind::Updated, "Patel", 99, "Patel"),
        ] {
            lead["lead"]["name"] = json!(name);
            lead["lead"]["guest_count"] = json!(guests);
            assert_eq!(
                pushing.attempt(&mut Bringing::new(kind, &lead)).await,
                Outcome::Delivered,
                "{connector}"
            );
            let records = account.records();
            let [record] = &records[..] else { panic!("{connector}: {records:?}") };
            assert_eq!(record.fields.get("name").map(String::as_str), Some(expected), "{connector}: {name}");
            assert_eq!(record.fields.get("guests"), Some(&guests.to_string()), "{connector}: {name}");
        }
    }
}

/// Who gave an address alone is called by the first word that comes; a word says nothing of who has a name.
#[tokio::test]
async fn a_word_names_only_whom_nobody_has_named() {
    for connector in PEOPLE {
        let account = open_account(connector).await.unwrap();
        account.with(|account| account.lift_quotas());
        let made = account.connection();
        let mut pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, TIMEOUT);
        let called = || {
            let person = account.records().into_iter().find(|record| record.kind != "note").unwrap();
            ["first name", "last name"].map(|part| person.fields.get(part).cloned())
        };
        let said = |name: &str| Some(name.to_owned());
        for (n, name, expected) in [
            (1, "sarah@example.com", [None, None]),
            (2, "Sarah", [said("Sarah"), None]),
            (3, "Patel", [said("Sarah"), None]),
            (4, "Sarah Patel", [said("Sarah"), said("Patel")]),
            (5, "Patel", [said("Sarah"), said("Patel")]),
        ] {
            push(&mut pushing, &enquiry(n, name)).await;
            assert_eq!(called(), expected, "{connector}: {name}");
        }
        // A lead of its own says it with an update.
        let mut alone = enquiry(6, "ada@example.com");
        alone["lead"]["email"] = json!("ada@example.com");
        alone["lead"].as_object_mut().unwrap().remove("phone");
        push(&mut pushing, &alone).await;
        alone["lead"]["name"] = json!("Ada");
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Updated, &alone)).await;
        assert_eq!(outcome, Outcome::Delivered, "{connector}");
        let is_ada = |name: &String| name == "Ada";
        let named =
            account.records().into_iter().filter(|one| one.fields.get("first name").is_some_and(is_ada));
        assert_eq!(named.count(), 1, "{connector}");
    }
}

/// Somebody has an old Lead that sales closed and one that is open: what comes goes to the open one.
#[tokio::test]
async fn an_open_lead_goes_before_a_closed_one() {
    for connector in ["salesforce", "dynamics"] {
        let account = open_account(connector).await.unwrap();
        let vendor = &*account;
        let open = match connector {
            "salesforce" => vendor.of::<Fake<Salesforce>>().unwrap().with(|vendor| {
                let open = vendor.add_lead("sarah@example.com");
                let closed = vendor.add_lead("sarah@example.com");
                let closed = vendor.leads.get_mut(&closed).unwrap();
                closed.fields.insert("Status".to_owned(), json!("Unqualified"));
                open
            }),
            _ => vendor.of::<Fake<Dynamics>>().unwrap().with(|vendor| {
                for (id, state) in [("a-open", 0), ("b-closed", 2)] {
                    let fields = json!({"emailaddress1": "sarah@example.com", "lastname": "Patel"});
                    let fields = fields.as_object().unwrap().clone();
                    let lead = dynamics::Lead { fields, owner: "app".to_owned(), state };
                    vendor.leads.insert(id.to_owned(), lead);
                }
                "a-open".to_owned()
            }),
        };
        let made = account.connection();
        let mut pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, TIMEOUT);
        let before = account.records();
        let lead = enquiry(1, "Sarah Patel");
        push(&mut pushing, &lead).await;
        let kept = pushing.ids(lead["lead"]["uuid"].as_str().unwrap());
        assert_eq!(kept.get("lead"), Some(&open), "{connector}");
        assert_eq!(account.records().len(), before.len() + 1, "{connector}: a note on the open one");
    }
}

#[tokio::test]
async fn each_enquiry_at_salesforce_is_kept_and_leaves_what_sales_did() {
    let (fake, mut pushing) = salesforce(json!({})).await;
    push(&mut pushing, &enquiry(1, "Sarah Patel")).await;
    let lead = fake.with(|salesforce| {
        let (id, lead) = salesforce.leads.iter_mut().next().unwrap();
        assert_eq!((lead.owner.as_str(), salesforce.tasks.len()), ("queue", 0), "Description tells it");
        lead.owner = "Ada".to_owned();
        lead.fields.insert("Description".to_owned(), json!("Wants the barn, call on Friday"));
        id.clone()
    });
    let second = enquiry(2, "Sarah Patel");
    push(&mut pushing, &second).await;
    let mut bringing = Bringing::new(EventKind::Updated, &second);
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    fake.with(|salesforce| {
        let kept = &salesforce.leads[&lead];
        assert_eq!((salesforce.leads.len(), kept.owner.as_str()), (1, "Ada"), "rules run on new Leads alone");
        assert_eq!(kept.fields["Description"], "Wants the barn, call on Friday");
        let told: Vec<&str> =
            salesforce.tasks.values().map(|task| task["Subject"].as_str().unwrap()).collect();
        assert_eq!(told.len(), 2);
        assert!(
            told[0].starts_with("New lead: Sarah Patel") && told[1].starts_with("Lead updated: "),
            "{told:?}"
        );
        assert!(salesforce.tasks.values().all(|task| task["WhoId"] == json!(lead)));
    });
    fake.stop().await;
}

#[tokio::test]
async fn a_lead_that_sales_closed_is_opened_again_or_said_to_be_closed() {
    for (config, status, told) in [
        (json!({}), "Unqualified", "The Lead was closed before this enquiry: Unqualified\n"),
        (json!({ "reopen_status": "Working" }), "Working", "Delivery: "),
        (json!({ "closed_statuses": "Lost" }), "Unqualified", "Delivery: "),
        (json!({ "tasks": "no" }), "Unqualified", ""),
    ] {
        let (fake, mut pushing) = salesforce(config.clone()).await;
        push(&mut pushing, &enquiry(1, "Sarah Patel")).await;
        fake.with(|salesforce| {
            let lead = salesforce.leads.values_mut().next().unwrap();
            lead.fields.insert("Status".to_owned(), json!("Unqualified"));
        });
        push(&mut pushing, &enquiry(2, "Sarah Patel")).await;
        fake.with(|salesforce| {
            assert_eq!(salesforce.leads.values().next().unwrap().fields["Status"], status, "{config}");
            let task = salesforce.tasks.values().next().map(|task| task["Description"].as_str().unwrap());
            assert!(task.unwrap_or_default().starts_with(told), "{config}: {task:?}");
            assert_eq!(task.is_none(), told.is_empty());
        });
        fake.stop().await;
    }
}

#[tokio::test]
async fn who_was_converted_comes_back_unless_a_rule_blocks_it() {
    let (fake, mut pushing) = salesforce(json!({})).await;
    let first = enquiry(1, "Sarah Patel");
    push(&mut pushing, &first).await;
    fake.with(|salesforce| salesforce.leads.values_mut().for_each(|lead| lead.is_converted = true));
    // The standard duplicate rule of new organizations finds the converted one and lets it be saved.
    push(&mut pushing, &enquiry(2, "Sarah Patel")).await;
    // The Lead that is known was converted too: its update makes a new one.
    fake.with(|salesforce| salesforce.leads.values_mut().for_each(|lead| lead.is_converted = true));
    let mut update = Bringing::new(EventKind::Updated, &first);
    assert_eq!(pushing.attempt(&mut update).await, Outcome::Delivered);
    assert_eq!(fake.with(|salesforce| salesforce.leads.len()), 3);

    fake.with(|salesforce| {
        salesforce.leads.values_mut().for_each(|lead| lead.is_converted = true);
        salesforce.blocks_duplicates = true;
    });
    let mut blocked = Bringing::new(EventKind::Created, &enquiry(3, "Sarah Patel"));
    let (class, error) = class_and_error(pushing.attempt(&mut blocked).await);
    assert_eq!(class, FailureClass::Rejected);
    assert_eq!(
        error,
        "salesforce DUPLICATES_DETECTED Use one of these records? (rule Standard_Lead_Duplicate_Rule)"
    );
    fake.stop().await;
}

#[tokio::test]
async fn new_leads_go_to_whom_the_setting_says() {
    for (setting, owner) in
        [(json!(null), "queue"), (json!("none"), ""), (json!("01Q000000000001"), "01Q000000000001")]
    {
        // A membership is put on the Lead when it has its owner.
        let config = json!({ "assignment_rule": setting, "campaign_id": CAMPAIGN });
        let (fake, mut pushing) = salesforce(config).await;
        push(&mut pushing, &enquiry(1, "Sarah Patel")).await;
        assert_eq!(fake.with(|salesforce| salesforce.members.len()), 1);
        let owners = fake
            .with(|salesforce| salesforce.leads.values().map(|lead| lead.owner.clone()).collect::<Vec<_>>());
        assert_eq!(owners, [owner]);
        fake.stop().await;
    }
}

#[tokio::test]
async fn a_merge_field_that_is_refused_keeps_nobody_out() {
    let (fake, mut pushing) = mailchimp().await;
    fake.with(|mailchimp| mailchimp.us_phones = true);
    push(&mut pushing, &enquiry(1, "Sarah Patel")).await;
    fake.with(|mailchimp| {
        let member = mailchimp.member("sarah@example.com").unwrap();
        assert_eq!((&member.fields["LNAME"], member.fields.get("PHONE")), (&json!("Patel"), None));
    });
    assert_eq!(
        pushing.note.as_deref(),
        Some("merge field PHONE was left out: Please enter a valid phone number")
    );
    let report = pushing.probe(ProbeKind::Mapping).await;
    let expected = "lead.phone: merge field PHONE takes numbers of the US only and refuses all others; set its phone format to international";
    assert_eq!(report.findings, [expected]);
    fake.stop().await;
}

#[tokio::test]
async fn a_search_that_finds_longer_addresses_renames_nobody() {
    let (fake, mut pushing) = pipedrive(json!({ "api_token": "pipedrive-good" })).await;
    let other = fake.with(|pipedrive| pipedrive.add_person("Mia Self", "myself@example.com"));
    let mut lead = enquiry(1, "Sarah Patel");
    lead["lead"]["email"] = json!("self@example.com");
    push(&mut pushing, &lead).await;
    fake.with(|pipedrive| {
        assert_eq!((pipedrive.persons.len(), &pipedrive.persons[&other]["name"]), (2, &json!("Mia Self")));
    });
    fake.stop().await;
}

#[tokio::test]
async fn an_archived_deal_makes_way_for_a_new_one() {
    let (fake, mut pushing) = pipedrive(json!({ "api_token": "pipedrive-good" })).await;
    let lead = enquiry(1, "Sarah Patel");
    push(&mut pushing, &lead).await;
    let archived = fake.with(|pipedrive| {
        let (id, deal) = pipedrive.deals.iter_mut().next().unwrap();
        deal["is_archived"] = json!(true);
        *id
    });
    let mut update = Bringing::new(EventKind::Updated, &lead);
    assert_eq!(pushing.attempt(&mut update).await, Outcome::Delivered);
    fake.with(|pipedrive| {
        let (newest, _) = pipedrive.deals.iter().next_back().unwrap();
        assert!(pipedrive.deals.len() == 2 && *newest != archived);
        let note = pipedrive.notes.values().next_back().unwrap();
        assert_eq!(note["deal_id"], json!(newest));
    });
    let note = format!("deal {archived} is archived and takes no changes: a new one was made");
    assert_eq!(pushing.note.as_deref(), Some(note.as_str()));
    fake.stop().await;
}

#[tokio::test]
async fn each_currency_has_its_own_places() {
    for (currency, value) in
        [("GBP", "12696.00"), ("JPY", "1269600"), ("KWD", "1269.600"), ("jpy", "1269600")]
    {
        let (fake, mut pushing) = pipedrive(json!({ "api_token": "pipedrive-good" })).await;
        let mut lead = enquiry(1, "Sarah Patel");
        lead["quote"]["currency"] = json!(currency);
        lead["quote"]["total_pence"] = json!(1_269_600);
        push(&mut pushing, &lead).await;
        let sent: Vec<String> =
            fake.requests().iter().map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect();
        assert!(
            sent.iter().any(|body| body.contains(&format!("\"value\":{value},"))),
            "{currency}: {sent:?}"
        );
        fake.stop().await;
    }
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_kept_before_it_is_needed() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.rotates = true);
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    let config = json!({ "base_url": fake.url() });
    let made = operator.connect(7, "pipedrive", config, login.clone()).await;
    let post = async |daemon: &Daemon, n: usize| {
        let lead = sample_lead(n);
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
        wait_until("the lead is there", async || fake.with(|pipedrive| pipedrive.notes.len()) == n).await;
        lead["lead"]["uuid"].as_str().unwrap().to_owned()
    };
    post(&daemon, 1).await;
    // The token that the login gave is refused: the next login takes the newest refresh token, and so does the next life.
    fake.with(|pipedrive| pipedrive.tokens.clear());
    post(&daemon, 2).await;
    daemon.stop().await;
    let daemon = Daemon::start_on(&database).await;
    fake.with(|pipedrive| pipedrive.tokens.clear());
    let uuid = post(&daemon, 3).await;
    let operator = Operator::new(daemon.control().await);
    assert_eq!(operator.badge(&made.id).await, "ok");
    assert!(fake.with(|pipedrive| pipedrive.logins) >= 3);
    assert_eq!(fake.with(|pipedrive| pipedrive.reused), 0, "no refresh token was used twice");

    // What the target calls the lead's things is shown, and each call as it was.
    let cli = Cli::new(daemon.socket());
    wait_until("all are delivered", async || {
        operator.deliveries_of(&made.id).await.iter().all(|it| it.state().word() == "delivered")
    })
    .await;
    let trace = cli.json(&["lead", "trace", &uuid]).await;
    let kinds: Vec<&str> =
        trace["records"].as_array().unwrap().iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["person", "deal", "note"]);
    let deal = &trace["records"][1];
    let id = deal["id"].as_str().unwrap();
    assert_eq!(deal["url"], format!("https://app.pipedrive.com/deal/{id}"));
    let delivery = operator.deliveries_of(&made.id).await[0].id.clone();
    let shown = cli.json(&["delivery", "show", &delivery]).await;
    assert_eq!(shown["records"].as_array().unwrap().len(), 3);
    let attempt = cli.json(&["attempt", "show", shown["history"][0]["id"].as_str().unwrap()]).await;
    let calls = attempt["calls"].as_array().unwrap();
    let told: Vec<String> = calls
        .iter()
        .map(|call| {
            let path = call["url"].as_str().unwrap().trim_start_matches(fake.url().as_str());
            let path = path.split('?').next().unwrap();
            format!("{} {path} {}", call["method"].as_str().unwrap(), call["status"])
        })
        .collect();
    assert_eq!(
        told[told.len() - 4..],
        [
            "GET /api/v2/persons/search 200",
            "POST /api/v2/persons 201",
            "POST /api/v2/deals 201",
            "POST /api/v1/notes 201"
        ]
        .map(str::to_owned)
    );
    let last = calls.last().unwrap();
    assert!(last["request_body"].as_str().unwrap().starts_with("{\"content\":\"<b>New lead</b>"), "{last}");
    assert!(last["response_body"].as_str().unwrap().contains("\"success\":true"), "{last}");
    assert!(
        !attempt.to_string().contains("secret-1") && !attempt.to_string().contains("refresh-"),
        "{attempt}"
    );
    daemon.stop().await;
    fake.stop().await;
}
