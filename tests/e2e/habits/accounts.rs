//! Accounts of which the tests know more than what all have in common.

use leadline_fakes::{Fake, mailchimp::Mailchimp, pipedrive::Pipedrive, salesforce::Salesforce};
use leadline_tests::Pushing;
use serde_json::{Value, json};

use super::TIMEOUT;

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
