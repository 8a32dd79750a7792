//! What any of the newest leads says: found by commands and in the console, company by company, and not once it is erased.

use leadline_fakes::{Behaviour, sample_lead};
use leadline_proto::v1::{self, lead_service_client::LeadServiceClient};
use leadline_tests::{Cli, Operator, Pty, Scene, leadline, post_lead};
use serde_json::{Value, json};

use super::uuid_of;
use crate::access::{self, Authority, token, wire};

/// Leads that say more than who they are; the newest last.
fn leads() -> [Value; 3] {
    let mut quartet = sample_lead(1);
    quartet["lead"]["name"] = json!("Ann Reed");
    quartet["lead"]["message"] = json!(format!(
        "{} and a string quartet at the Café, please. {}",
        "We look forward to it. ".repeat(20),
        "x".repeat(200)
    ));
    let mut marquee = sample_lead(2);
    marquee["lead"]["name"] = json!("Ben Stone");
    marquee["lead"]["extras"] = json!({ "a/b": ["Marquee", "quartet"], "second_phone": "(07700) 900 999" });
    let mut plain = sample_lead(3);
    plain["lead"]["name"] = json!("Cleo Quartet");
    [quartet, marquee, plain]
}

fn hits(found: &Value) -> Vec<(&str, &str)> {
    found
        .as_array()
        .unwrap()
        .iter()
        .map(|lead| (lead["name"].as_str().unwrap(), lead["pointer"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_text_is_found_in_whatever_a_lead_says() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let leads = leads();
    for lead in &leads {
        scene.post_lead(lead).await;
    }
    let anywhere = async |text: &str, more: &[&str]| {
        cli.json(&[&["lead", "find", text, "--anywhere"], more].concat()).await
    };
    let found = anywhere("QUARTET", &[]).await;
    assert_eq!(
        hits(&found),
        [("Cleo Quartet", "/lead/name"), ("Ben Stone", "/lead/extras/a~1b/1"), ("Ann Reed", "/lead/message")]
    );
    assert_eq!(
        (&found[2]["uuid"], &found[2]["company"]),
        (&json!(uuid_of(&leads[0])), &json!("The Old Barn"))
    );
    let value = found[2]["value"].as_str().unwrap();
    assert!(
        value.starts_with("… a string quartet at the Café, please.") && value.chars().count() < 130,
        "{value}"
    );
    // Words of several values, without case and accents; a phone number however it is written.
    for (text, hit) in [
        ("cafe string", ("Ann Reed", "/lead/message")),
        ("stone quartet", ("Ben Stone", "/lead/name")),
        ("07700-900999", ("Ben Stone", "/lead/extras/second_phone")),
        (uuid_of(&leads[1]), ("Ben Stone", "/lead/uuid")),
    ] {
        assert_eq!(hits(&anywhere(text, &[]).await), [hit], "{text}");
    }
    // Keys say nothing, nor does what is the same in every lead.
    for text in ["second_phone", "lead.created", "the old barn", "nobody says so"] {
        assert_eq!(anywhere(text, &[]).await, json!([]), "{text}");
    }
    // A page ends where enough was found; the next one looks behind it.
    let first = cli.run(&["lead", "find", "quartet", "--anywhere", "--limit", "2", "-o", "table"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let token = first.stderr.split("--after ").nth(1).expect("it says how to look further").trim();
    assert!(first.stderr.starts_with("Looked through 2 leads, back to "), "{}", first.stderr);
    let second = anywhere("quartet", &["--limit", "2", "--after", token]).await;
    assert_eq!(hits(&second), [("Ann Reed", "/lead/message")]);
    // Whose list was made by a program gives the last lead of it.
    let behind = anywhere("quartet", &["--after", uuid_of(&leads[1])]).await;
    assert_eq!(hits(&behind), [("Ann Reed", "/lead/message")]);
    let program = cli.run(&["lead", "find", "quartet", "--anywhere", "--limit", "1", "-o", "json"]).await;
    assert!(program.stderr.starts_with("{\"note\":\"Looked through 1 leads, back to "), "{}", program.stderr);
    let last = cli.run(&["lead", "find", "nobody says so", "--anywhere", "-o", "table"]).await;
    assert!(last.stderr.starts_with("Looked through all 3 leads, back to "), "{}", last.stderr);

    let short = cli.run(&["lead", "find", "ab", "--anywhere"]).await;
    assert!(short.error(1).contains("text: give three characters or more of what leads say"), "{short:?}");
    let long = cli.run(&["lead", "find", &"x".repeat(101), "--anywhere"]).await;
    assert!(long.error(1).contains("text: at most 100 characters of what leads say"), "{long:?}");

    // An update is found by what it says now, and an erased lead by nothing.
    let mut changed = leads[1].clone();
    changed["lead"]["extras"] = json!({ "a/b": ["Marquee"] });
    scene.post_lead(&changed).await;
    scene.wait_for_states(&["delivered"; 4]).await;
    cli.run(&["lead", "erase", uuid_of(&leads[0]), "--yes"]).await;
    assert_eq!(hits(&anywhere("quartet", &[]).await), [("Cleo Quartet", "/lead/name")]);
    assert_eq!(anywhere(uuid_of(&leads[0]), &[]).await, json!([]), "its uuid finds it no more, either");
    scene.end().await;
}

#[tokio::test]
async fn companies_are_looked_through_apart() {
    let scene = Scene::with(Behaviour::Good).await;
    let operator = Operator::new(scene.daemon.control().await);
    let key = operator.company(8).await;
    scene.post_lead(&leads()[0]).await;
    let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &key, leads()[1].to_string()).await;
    assert_eq!(status, 202);
    let cli = Cli::new(scene.daemon.socket());
    for (company, expected) in [("7", vec!["Ann Reed"]), ("8", vec!["Ben Stone"])] {
        let found = cli.json(&["lead", "find", "quartet", "--anywhere", "--company", company]).await;
        assert_eq!(hits(&found).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), expected);
    }
    scene.end().await;
}

/// A search that has found leads and now asks who they are.
const ASKS_WHO: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND wait_event_type = 'Lock' AND query LIKE 'SELECT l.company_id, c.name AS company_name, l.id, l.uuid,%')";

#[tokio::test]
async fn what_is_erased_during_a_search_is_not_answered() {
    let scene = Scene::with(Behaviour::Good).await;
    let leads = leads();
    for lead in &leads {
        scene.post_lead(lead).await;
    }
    scene.wait_for_states(&["delivered"; 3]).await;
    let mut client = LeadServiceClient::new(scene.daemon.control().await);
    let asked = v1::FindLeadsAnywhereRequest { text: "quartet".into(), page_size: 2, ..Default::default() };
    let mut holding = scene.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE lead_recent IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let erase = async {
        scene.wait_until(ASKS_WHO).await;
        // Erased as far as a search is concerned; the rest of an erasure needs the table that is locked.
        sqlx::query("UPDATE lead SET erased_at = now() WHERE uuid = $1")
            .bind(uuid_of(&leads[2]))
            .execute(&mut *holding)
            .await
            .unwrap();
        holding.commit().await.unwrap();
    };
    let (found, ()) = tokio::join!(client.find_leads_anywhere(asked.clone()), erase);
    let found = found.unwrap().into_inner();
    let names = |found: &v1::FindLeadsAnywhereResponse| -> Vec<String> {
        found.matches.iter().map(|it| it.lead.as_ref().unwrap().name.clone()).collect()
    };
    assert_eq!(names(&found), ["Ben Stone"], "the newest was erased before it was told");
    assert_eq!(found.searched, 2);
    // What is behind it is found by the next page, whatever went from this one.
    let next = v1::FindLeadsAnywhereRequest { page_token: found.next_page_token, ..asked };
    let next = client.find_leads_anywhere(next).await.unwrap().into_inner();
    assert_eq!((names(&next), &*next.next_page_token), (vec!["Ann Reed".to_owned()], ""));
    scene.daemon.stop().await;
    scene.receiver.stop().await;
}

#[tokio::test]
async fn one_operators_search_does_not_stop_anothers() {
    let authority = Authority::new();
    let daemon = access::daemon(&authority).await;
    let scene = Scene::on(daemon, Behaviour::Good, json!({})).await;
    scene.post_lead(&leads()[0]).await;
    let (_, secret) = token(&scene.daemon, v1::Role::Operator, "", false).await;
    let mut other = access::leads(&wire(&scene.daemon, &authority.file(), None, Some(&secret)).await);
    let mut own = LeadServiceClient::new(scene.daemon.control().await);
    let anywhere = |text: &str| v1::FindLeadsAnywhereRequest { text: text.into(), ..Default::default() };
    let mut holding = scene.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE lead_recent IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let others = async {
        scene.wait_until(ASKS_WHO).await;
        let found = other.find_leads_anywhere(anywhere("nobody says so")).await;
        holding.rollback().await.unwrap();
        found
    };
    let (own, others) = tokio::join!(own.find_leads_anywhere(anywhere("quartet")), others);
    assert_eq!(own.unwrap().into_inner().matches.len(), 1);
    assert_eq!(others.unwrap().into_inner().searched, 1, "it went on beside the other");
    scene.end().await;
}

#[tokio::test]
async fn the_console_looks_anywhere_with_one_key_where_nobody_is_called_so() {
    let scene = Scene::with(Behaviour::Good).await;
    for lead in leads() {
        scene.post_lead(&lead).await;
    }
    scene.wait_for_states(&["delivered"; 3]).await;
    let server = format!("unix:{}", scene.daemon.socket().display());
    let mut console = Pty::start(leadline(), &["--server", &server], (80, 24));
    console.wait_for_all(&["LIVE", "[1 Overview]"]).await;
    console.press("3");
    console.wait_for_all(&["Find a lead", "Newest leads 3"]).await;
    console.press("string quartet");
    console
        .wait_for_all(&["Nobody is called so.", "looks through everything that the newest leads say"])
        .await;
    console.press("\r");
    console
        .wait_for_all(&["Say so 1, in the newest 3", "SAYS", "string quartet", "/lead/message", "Ann Reed"])
        .await;
    // The hit is opened as any other lead.
    console.press("\r");
    console.wait_for_all(&["Leads \"string quartet\" › Ann Reed"]).await;
    console.press("\x1b");
    console.wait_for_all(&["Say so 1"]).await;
    // Esc goes back to who is called so, and `A` looks anywhere once more.
    console.press("\x1b");
    console.wait_for_all(&["Nobody is called so.", "A looks through"]).await;
    console.press("A");
    console.wait_for_all(&["Say so 1, in the newest 3"]).await;
    drop(console);
    scene.end().await;
}
