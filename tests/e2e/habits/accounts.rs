//! An account at each CRM, and what it holds of somebody after some leads.

use std::time::Duration;

use leadline_fakes::{
    Fake, Vendor, activecampaign::ActiveCampaign, brevo::Brevo, dynamics::Dynamics, hubspot::Hubspot,
    klaviyo::Klaviyo, mailchimp::Mailchimp, pipedrive::Pipedrive, salesforce::Salesforce, vendor::Quota,
    zoho::Zoho,
};
use leadline_tests::Pushing;
use serde_json::{Value, json};

use super::{TIMEOUT, push};

pub(super) const CRMS: [&str; 9] = [
    "activecampaign",
    "brevo",
    "dynamics",
    "hubspot",
    "klaviyo",
    "mailchimp",
    "pipedrive",
    "salesforce",
    "zoho",
];

/// Name and phone of somebody.
type Person = (String, String);

/// The records that a CRM holds after these leads.
#[expect(clippy::too_many_lines, reason = "an arm for each CRM")]
pub(super) async fn held(crm: &str, leads: &[Value]) -> Vec<Person> {
    match crm {
        "activecampaign" => {
            let names = ["firstName", "lastName", "phone"];
            after(activecampaign().await, leads, |crm| {
                crm.contacts.values().map(|contact| texts(&json!(contact.own), names)).collect()
            })
            .await
        }
        "brevo" => {
            let names = ["FIRSTNAME", "LASTNAME", "SMS"];
            after(brevo().await, leads, |crm| {
                crm.contacts.values().map(|contact| texts(&json!(contact.attributes), names)).collect()
            })
            .await
        }
        "dynamics" => {
            let names = ["firstname", "lastname", "telephone1"];
            after(dynamics().await, leads, |crm| {
                crm.leads.values().map(|lead| texts(&json!(lead.fields), names)).collect()
            })
            .await
        }
        "hubspot" => {
            let names = ["firstname", "lastname", "phone"];
            after(hubspot().await, leads, |crm| {
                crm.contacts.values().map(|contact| texts(&json!(contact.properties), names)).collect()
            })
            .await
        }
        "klaviyo" => {
            let names = ["first_name", "last_name", "phone_number"];
            after(klaviyo().await, leads, |crm| {
                crm.profiles.values().map(|profile| texts(&json!(profile.attributes), names)).collect()
            })
            .await
        }
        "mailchimp" => {
            let names = ["FNAME", "LNAME", "PHONE"];
            after(mailchimp().await, leads, |crm| {
                crm.members.values().map(|member| texts(&json!(member.fields), names)).collect()
            })
            .await
        }
        "pipedrive" => {
            let login = json!({ "api_token": "pipedrive-good" });
            after(pipedrive(login).await, leads, |crm| {
                let told = crm.persons.values().map(|person| {
                    let phone = person["phones"][0]["value"].as_str().unwrap_or_default();
                    (person["name"].as_str().unwrap().to_owned(), phone.to_owned())
                });
                told.collect()
            })
            .await
        }
        "salesforce" => {
            let names = ["FirstName", "LastName", "Phone"];
            after(salesforce(json!({})).await, leads, |crm| {
                crm.leads.values().map(|lead| texts(&json!(lead.fields), names)).collect()
            })
            .await
        }
        _ => {
            let names = ["First_Name", "Last_Name", "Phone"];
            after(zoho().await, leads, |crm| {
                crm.leads.values().map(|lead| texts(&json!(lead.fields), names)).collect()
            })
            .await
        }
    }
}

async fn after<V: Vendor>(
    (fake, mut pushing): (Fake<V>, Pushing),
    leads: &[Value],
    look: impl FnOnce(&mut V) -> Vec<Person>,
) -> Vec<Person> {
    for lead in leads {
        push(&mut pushing, lead).await;
    }
    fake.with(look)
}

/// First name, last name and phone of a record that calls them so.
fn texts(record: &Value, names: [&str; 3]) -> Person {
    let [first, last, phone] = names.map(|name| record[name].as_str());
    let name: Vec<&str> = [first, last].into_iter().flatten().collect();
    (name.join(" "), phone.unwrap_or_default().to_owned())
}

pub(super) async fn brevo() -> (Fake<Brevo>, Pushing) {
    let fake = Fake::start(Brevo::default()).await.unwrap();
    let key = fake.with(|vendor| vendor.api_key.clone());
    let config = json!({ "base_url": fake.url(), "list_ids": "3" });
    let pushing = Pushing::new("brevo", config, json!({ "api_key": key }), json!({}), TIMEOUT);
    (fake, pushing)
}

async fn dynamics() -> (Fake<Dynamics>, Pushing) {
    let fake = Fake::start(Dynamics::default()).await.unwrap();
    let tenant = fake.with(|dynamics| dynamics.tenant.clone());
    let config = json!({ "environment_url": fake.url(), "login_url": fake.url(), "tenant_id": tenant });
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let pushing = Pushing::new("dynamics", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

async fn hubspot() -> (Fake<Hubspot>, Pushing) {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    let (config, login) = (json!({ "base_url": fake.url() }), json!({ "token": "pat-eu1-good" }));
    let pushing = Pushing::new("hubspot", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn activecampaign() -> (Fake<ActiveCampaign>, Pushing) {
    let fake = Fake::start(ActiveCampaign::default()).await.unwrap();
    // Pushes without a daemon keep no pace.
    fake.with(|account| account.quota = Quota::new(1_000, Duration::from_secs(1)));
    let config = json!({ "base_url": fake.url(), "api_url": "https://innkept.api-us1.com", "list_id": "3" });
    let login = json!({ "api_token": "0123456789abcdef-activecampaign" });
    let pushing = Pushing::new("activecampaign", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn zoho() -> (Fake<Zoho>, Pushing) {
    let fake = Fake::start(Zoho::default()).await.unwrap();
    let url = fake.url();
    fake.with(|zoho| zoho.api_domain = url);
    let login =
        json!({ "client_id": "1000.CLIENT", "client_secret": "secret-1", "refresh_token": "1000.refresh" });
    let config = json!({ "accounts_url": fake.url() });
    let pushing = Pushing::new("zoho", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn klaviyo() -> (Fake<Klaviyo>, Pushing) {
    let fake = Fake::start(Klaviyo::default()).await.unwrap();
    let config = json!({ "base_url": fake.url(), "list_id": "Y6nRLr" });
    let login = json!({ "api_key": "pk_0123456789abcdef" });
    let pushing = Pushing::new("klaviyo", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn mailchimp() -> (Fake<Mailchimp>, Pushing) {
    let fake = Fake::start(Mailchimp::new()).await.unwrap();
    let (list, key) = fake.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
    let config = json!({ "base_url": fake.url(), "list_id": list });
    let pushing = Pushing::new("mailchimp", config, json!({ "api_key": key }), json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn pipedrive(login: Value) -> (Fake<Pipedrive>, Pushing) {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    let config = json!({ "base_url": fake.url() });
    let pushing = Pushing::new("pipedrive", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}

pub(super) async fn salesforce(mut config: Value) -> (Fake<Salesforce>, Pushing) {
    let fake = Fake::start(Salesforce::default()).await.unwrap();
    let url = fake.url();
    config["login_url"] = json!(url);
    fake.with(|salesforce| salesforce.instance_url = url);
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1" });
    let pushing = Pushing::new("salesforce", config, login, json!({}), TIMEOUT);
    (fake, pushing)
}
