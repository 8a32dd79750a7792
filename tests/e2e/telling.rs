//! What people are told: what an update changed, by their own clock, as their country writes it, with the way to the lead.

use leadline_fakes::{OpenAccount, VENDORS, open_account, sample_lead};
use leadline_tests::{Bringing, Cli, Pushing};
use leadlined::domain::{integration::EventKind, outcome::Outcome};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::vendors::{PATIENCE, Scene};

fn lead() -> Value {
    let mut lead = sample_lead(1);
    lead["lead"]["gdpr_consent"] = true.into();
    lead["viewing"] = json!({ "starts_at": "2026-09-04T13:00:00Z", "ends_at": "2026-09-04T14:30:00Z" });
    lead
}

fn with(mut lead: Value, guests: u32) -> Value {
    lead["lead"]["guest_count"] = guests.into();
    lead
}

fn texts(account: &dyn OpenAccount) -> Vec<String> {
    let texts = account.records().into_iter().filter_map(|record| record.fields.get("text").cloned());
    texts.collect()
}

/// An account of a vendor that tells people of leads.
async fn teller(connector: &'static str) -> Option<(Box<dyn OpenAccount>, Pushing)> {
    let account = open_account(connector).await.unwrap();
    account.with(|account| account.lift_quotas());
    let made = account.connection();
    let pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, PATIENCE);
    pushing.tells_changes().then_some((account, pushing))
}

#[tokio::test]
async fn an_update_tells_people_what_it_changed() {
    let mut told_by = 0;
    for (connector, _) in VENDORS {
        let Some((account, mut pushing)) = teller(connector).await else { continue };
        let lead = lead();
        for (event, guests) in [(EventKind::Created, 80), (EventKind::Updated, 120)] {
            let mut bringing = Bringing::new(event, &with(lead.clone(), guests));
            assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered, "{connector}");
            let told = match texts(&*account).pop() {
                Some(text) => text,
                None => String::from_utf8(bringing.rendered.unwrap().to_vec()).unwrap(),
            };
            // Mail is quoted-printable.
            let told = told.replace("\r", "").replace("=\n", "").replace("=E2=86=92", "→");
            // A row and a profile have values, and tell nobody of them.
            if !told.contains("Guests:") {
                break;
            }
            told_by += usize::from(event == EventKind::Created);
            assert_eq!(told.contains("Guests changed:"), event == EventKind::Updated, "{connector}: {told}");
            assert_eq!(told.contains("80 → 120"), event == EventKind::Updated, "{connector}: {told}");
        }
    }
    assert_eq!(told_by, 11, "CRMs, chats and mail");
}

/// Texts as long as one may be that a sender gives; the last two have the most lines and the most to escape.
const LONG: [(&str, usize); 4] = [("a line\n", 8_000), ("a word ", 9_000), ("x\n", 21_000), ("\\", 30_000)];
/// Who keeps the least of a text, and who the most: they are told all of them, the others the last two.
const EXTREMES: [&str; 2] = ["mailchimp", "hubspot"];

/// Pushes leads with long texts and holds what stands behind these to be told. False if nobody is told of leads there.
async fn tells_what_stands_behind(connector: &'static str) -> bool {
    let Some((account, mut pushing)) = teller(connector).await else { return false };
    let first = if EXTREMES.contains(&connector) { 0 } else { 2 };
    for notes in LONG[first..].iter().map(|(text, times)| text.repeat(*times)) {
        let mut lead = lead();
        lead["lead"]["profile"] = json!({ "notes": notes });
        lead["lead"]["source_url"] = json!(format!("https://example.com/?{}", "x".repeat(3_000)));
        lead["lead"]["favourite"] = json!("violets");
        let mut bringing = Bringing::new(EventKind::Created, &lead);
        assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered, "{connector}");
        let told = match texts(&*account).pop() {
            Some(text) => text,
            None => String::from_utf8(bringing.rendered.unwrap().to_vec()).unwrap(),
        };
        if !told.contains("Guests:") {
            return false;
        }
        for behind in ["Consent", "favourite", "violets"] {
            assert!(told.contains(behind), "{connector}: {behind} is cut away in {} bytes", told.len());
        }
    }
    true
}

/// Somebody writes a novel: what stands behind it is told all the same, at every target that tells people.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_value_pushes_out_no_line_behind_it() {
    let vendors: JoinSet<bool> =
        VENDORS.into_iter().map(|(connector, _)| tells_what_stands_behind(connector)).collect();
    let told_by = vendors.join_all().await.into_iter().filter(|tells| *tells).count();
    assert_eq!(told_by, 11, "CRMs, chats and mail");
}

#[tokio::test]
async fn a_company_is_told_by_its_own_clock_as_its_country_writes_and_where_the_lead_is() {
    let account = open_account("slack").await.unwrap();
    let made = account.connection();
    let scene = Scene::with("slack", made.config, made.credentials).await;
    let cli = Cli::new(scene.daemon.socket());
    let page = "https://crm.example.com/leads/{uuid}";
    let set =
        ["company", "update", "7", "--time-zone", "europe/berlin", "--locale", "de-DE", "--lead-url", page];
    let company = cli.json(&set).await;
    assert_eq!((&company["time_zone"], &company["lead_url"]), (&json!("Europe/Berlin"), &json!(page)));
    let lead = lead();
    for (n, guests) in [(1, 80), (2, 120)] {
        scene.post(1, |own| *own = with(lead.clone(), guests)).await;
        scene.wait_for(n, "delivered").await;
    }
    let told = texts(&*account).pop().unwrap();
    let uuid = lead["lead"]["uuid"].as_str().unwrap().to_owned();
    for expected in [
        "Guests changed: 80 → 120".to_owned(),
        "04.09.2026, 15:00 to 16:30 (Europe/Berlin)".to_owned(),
        format!("https://crm.example.com/leads/{uuid}"),
    ] {
        assert!(told.contains(&expected), "{expected}\n{told}");
    }
    let back = ["company", "update", "7", "--time-zone", "none", "--locale", "none", "--lead-url", "none"];
    let company = cli.json(&back).await;
    assert_eq!(["time_zone", "locale", "lead_url"].map(|key| company[key].is_null()), [true; 3]);
    scene.end().await;
}
