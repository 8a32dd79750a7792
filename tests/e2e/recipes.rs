//! Recipes: what the page has operators copy brings a lead to somebody who enforces what the vendor's documents say.

use std::fs;

use leadline_fakes::{Fake, Reply, Request, Vendor, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::EventKind,
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, class_and_error};

/// A vendor's contract: what it answers to a call, and whether it took it.
type Contract = fn(&Request, &Value) -> Result<Reply, Reply>;

/// An API that keeps what it takes.
struct Api {
    contract: Contract,
    taken: Vec<Value>,
}

impl Vendor for Api {
    fn handle(&mut self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (self.contract)(request, &body) {
            Ok(reply) => {
                self.taken.push(body);
                reply
            }
            Err(refusal) => refusal,
        }
    }
}

fn is(request: &Request, header: &str, value: &str) -> bool {
    request.header(header) == Some(value)
}

fn refused(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message, "error": message }))
}

fn demand(is_met: bool, status: u16, message: &str) -> Result<(), Reply> {
    if is_met { Ok(()) } else { Err(refused(status, message)) }
}

fn monday(request: &Request, body: &Value) -> Result<Reply, Reply> {
    demand(request.path == "/v2" && is(request, "content-type", "application/json"), 404, "not found")?;
    demand(is(request, "authorization", "eyJhbGciOiJIUzI1NiJ9.monday"), 401, "Not Authenticated")?;
    // What GraphQL refuses is answered with 200.
    let wrong = |message: &str| Reply::json(200, &json!({ "data": {}, "errors": [{ "message": message }] }));
    let (name, values) = (&body["variables"]["name"], &body["variables"]["values"]);
    let is_mutation = body["query"].as_str().is_some_and(|query| query.contains("create_item"));
    let values: Option<Value> = values.as_str().and_then(|values| serde_json::from_str(values).ok());
    let Some(values) = values.filter(|values| is_mutation && values.is_object()) else {
        return Err(wrong("Variable $values of type JSON was provided invalid value"));
    };
    let is_email = values["lead_email"]["email"].as_str().is_some_and(|email| email.contains('@'));
    // A date without a day is none.
    let is_day =
        values.get("event_date").is_none_or(|day| day["date"].as_str().is_some_and(|day| day.len() == 10));
    let is_count =
        values["guests"].as_str().is_some_and(|count| count.is_empty() || count.parse::<u32>().is_ok());
    if !name.is_string() || !is_email || !is_day || !is_count {
        return Err(wrong("invalid value, please check our API documentation"));
    }
    Ok(Reply::json(200, &json!({ "data": { "create_item": { "id": "4711" } } })))
}

fn notion(request: &Request, body: &Value) -> Result<Reply, Reply> {
    demand(request.path == "/v1/pages", 404, "not found")?;
    demand(is(request, "authorization", "Bearer ntn_0123456789"), 401, "API token is invalid.")?;
    demand(is(request, "notion-version", "2025-09-03"), 400, "Notion-Version header failed validation")?;
    let properties = &body["properties"];
    let title = &properties["Name"]["title"][0]["text"]["content"];
    let (date, phone) = (&properties["Event date"]["date"], &properties["Phone"]["phone_number"]);
    let guests = &properties["Guests"]["number"];
    let is_good = body["parent"]["data_source_id"].is_string()
        && title.is_string()
        && properties["Email"]["email"].is_string()
        // Nothing is null, and a date without a start is refused.
        && (date.is_null() || date["start"].is_string())
        && (guests.is_null() || guests.is_number())
        && (phone.is_null() || phone.is_string());
    demand(is_good, 400, "body failed validation")?;
    Ok(Reply::json(200, &json!({ "object": "page", "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a" })))
}

fn close(request: &Request, body: &Value) -> Result<Reply, Reply> {
    demand(request.path == "/api/v1/lead/", 404, "not found")?;
    let login = "Basic YXBpXzAxMjM0NTY3ODkuYWJjZGVmOg==";
    demand(is(request, "authorization", login), 401, "The api key you supplied is invalid.")?;
    let contact = &body["contacts"][0];
    let phones = contact["phones"].as_array();
    let is_good = body["name"].is_string()
        && body["description"].is_string()
        && contact["emails"][0]["email"].is_string()
        && phones.is_some_and(|phones| phones.iter().all(|phone| phone["phone"].is_string()));
    demand(is_good, 400, "Bad request")?;
    Ok(Reply::json(200, &json!({ "id": "lead_70jZ5hiVt5X31MZ3vJ0R5GJsSC2L3dnAoLEGNAHWnyM" })))
}

fn pabbly(request: &Request, body: &Value) -> Result<Reply, Reply> {
    demand(request.path.starts_with("/workflow/sendwebhookdata/"), 404, "not found")?;
    demand(body["lead"]["email"].is_string(), 400, "no data")?;
    Ok(Reply::json(200, &json!({ "status": "success", "message": "Response Accepted" })))
}

fn script(request: &Request, body: &Value) -> Result<Reply, Reply> {
    let is_it = request.path == "/macros/s/AKfycbx0123456789/exec?key=a-long-random-word";
    // What it throws is a page, in a good answer.
    demand(is_it && body["lead"]["uuid"].is_string(), 200, "Error: another key")?;
    // It has run, and the text that it returns stands elsewhere.
    Ok(Reply::status(302).header("Location", "https://script.googleusercontent.com/macros/echo"))
}

const RECIPES: [(&str, Contract); 5] = [
    ("Monday", monday),
    ("Notion", notion),
    ("Close", close),
    ("Pabbly", pabbly),
    ("Google Apps Script", script),
];

/// What stands in a section between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inner, _)| inner)
}

/// The connector, configuration and credentials of a recipe, with the vendor at this URL.
fn recipe(title: &str, url: &str) -> (String, Value, Value) {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes.md")).unwrap();
    let section = between(&format!("{page}\n## "), &format!("\n## {title}\n"), "\n## ").unwrap().to_owned();
    let mut config: Value = serde_json::from_str(between(&section, "```json\n", "```").unwrap()).unwrap();
    for key in ["base_url", "url"] {
        if let Some(address) = config[key].as_str().map(str::to_owned) {
            let host = address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            config[key] = json!(address.replace(&host, url));
        }
    }
    let command = between(&section, "```sh\n", "```").unwrap();
    assert!(command.contains("--events lead.created"), "{title}");
    let connector = between(command, "--connector ", " ").unwrap().to_owned();
    let credentials =
        between(command, "<<< '", "'").map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    (connector, config, credentials)
}

#[tokio::test]
async fn every_recipe_brings_a_lead() {
    for (title, contract) in RECIPES {
        let fake = Fake::start(Api { contract, taken: Vec::new() }).await.unwrap();
        let (connector, config, credentials) = recipe(title, &fake.url());
        let mut pushing = Pushing::new(&connector, config, credentials, Value::Null, PATIENCE);
        let mut lead = sample_lead(1);
        lead["lead"]["name"] = json!("Sarah \"Sal\" O'Patel \\ Söhne");
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{title}");
        for is_null in [false, true] {
            let mut bare = sample_lead(2);
            let says = bare["lead"].as_object_mut().unwrap();
            for field in ["phone", "event_type", "event_date", "guest_count"] {
                says.insert(field.to_owned(), Value::Null);
            }
            says.retain(|_, value| is_null || !value.is_null());
            let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &bare)).await;
            let without = if is_null { "with null for" } else { "without" };
            assert_eq!(outcome, Outcome::Delivered, "{title}: {without} what no lead must say");
        }
        let taken = fake.with(|api| api.taken.clone());
        assert_eq!(taken.len(), 3, "{title}");
        assert!(taken[0].to_string().contains("O'Patel"), "{title}: {}", taken[0]);
        fake.stop().await;
    }
}

#[tokio::test]
async fn what_monday_refuses_with_200_is_no_success() {
    let fake = Fake::start(Api { contract: monday, taken: Vec::new() }).await.unwrap();
    let (connector, mut config, credentials) = recipe("Monday", &fake.url());
    config["body"] =
        json!("{\"query\": \"mutation { create_item }\", \"variables\": {\"name\": {{ lead.name }}}}");
    let mut pushing = Pushing::new(&connector, config, credentials, Value::Null, PATIENCE);
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
    let (_, error) = class_and_error(outcome);
    assert!(error.contains("Variable $values of type JSON"), "{error}");
    fake.stop().await;
}

#[tokio::test]
async fn what_a_script_throws_is_no_success() {
    let fake = Fake::start(Api { contract: script, taken: Vec::new() }).await.unwrap();
    let (connector, mut config, credentials) = recipe("Google Apps Script", &fake.url());
    config["query"]["key"] = json!("a-key-of-before");
    let mut pushing = Pushing::new(&connector, config, credentials, Value::Null, PATIENCE);
    let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
    let (class, error) = class_and_error(outcome);
    assert_eq!(class, FailureClass::Unknown, "{error}");
    fake.stop().await;
}
