//! Vendors' fakes to call by hand or with the vendors' own clients, until the process is stopped.
//! `cargo run -p leadline-fakes --example vendors` prints where each is and how to log in, as one line of JSON.

use std::{
    error::Error,
    future::pending,
    io::{self, Write as _},
};

use leadline_fakes::{Fake, airtable::Airtable, mailchimp::Mailchimp};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (airtable, mailchimp) = (Airtable::new(), Mailchimp::new());
    let mut told = json!({
        "airtable": {"token": airtable.token, "base": airtable.base, "table": airtable.table},
        "mailchimp": {"api_key": mailchimp.api_key, "list": mailchimp.list},
    });
    let (airtable, mailchimp) = (Fake::start(airtable).await?, Fake::start(mailchimp).await?);
    told["airtable"]["url"] = airtable.url().into();
    told["mailchimp"]["url"] = mailchimp.url().into();
    writeln!(io::stdout(), "{told}")?;
    pending().await
}
