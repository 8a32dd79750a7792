//! Vendors' fakes to call by hand or with the vendors' own clients, until the process is stopped.
//! `cargo run -p leadline-fakes --example vendors` prints where each is and how to log in, as one line of JSON.

use std::{
    error::Error,
    future::pending,
    io::{self, Write as _},
};

use leadline_fakes::{
    Fake, OpenAccount, VENDORS,
    mail::{House, MailServer},
    salesforce::Salesforce,
};
use serde_json::{Map, Value, json};

/// So many calls a day, so that who counts them soon sees what follows the last.
const SALESFORCE_CALLS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let house = House {
        login: Some(("leads".to_owned(), "secret-password".to_owned())),
        takes_tokens: true,
        strangers: ["nobody@barn.example".to_owned()].into(),
        ..House::default()
    };
    let mail = MailServer::start(house).await?;
    mail.set_tokens(["good-token".to_owned()]);
    let mut told = Map::from_iter([("mail".to_owned(), json!({"port": mail.port()}))]);
    let mut vendors = Vec::new();
    for (connector, open) in VENDORS {
        let vendor = open().await?;
        told.insert(connector.to_owned(), way_in(vendor.as_ref()));
        if let Some(salesforce) = vendor.of::<Fake<Salesforce>>() {
            salesforce.with(|org| org.calls_left = SALESFORCE_CALLS);
        }
        vendors.push(vendor);
    }
    writeln!(io::stdout(), "{}", Value::Object(told))?;
    pending().await
}

/// Where it is, and all that an integration with it is made with.
fn way_in(vendor: &dyn OpenAccount) -> Value {
    let made = vendor.connection();
    let keys = vendor.with(|account| account.keys());
    let all = [json!({"url": vendor.url()}), made.config, made.credentials, keys];
    let members = all.into_iter().filter_map(|part| part.as_object().cloned()).flatten();
    Value::Object(members.collect())
}
