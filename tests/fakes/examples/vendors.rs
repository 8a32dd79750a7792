//! Vendors' fakes to call by hand or with the vendors' own clients, until the process is stopped.
//! `cargo run -p leadline-fakes --example vendors` prints where each is and how to log in, as one line of JSON.

use std::{
    error::Error,
    future::pending,
    io::{self, Write as _},
};

use leadline_fakes::{
    Fake, Vendor,
    activecampaign::ActiveCampaign,
    airtable::Airtable,
    brevo::Brevo,
    discord::Discord,
    dynamics::Dynamics,
    google_sheets::GoogleSheets,
    hubspot::Hubspot,
    klaviyo::Klaviyo,
    mail::{House, MailServer},
    mailchimp::Mailchimp,
    pipedrive::Pipedrive,
    salesforce::Salesforce,
    slack::Slack,
    teams::Teams,
    zoho::Zoho,
};
use serde_json::{Value, json};

/// So many calls a day, so that who counts them soon sees what follows the last.
const SALESFORCE_CALLS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (airtable, mailchimp) = (Airtable::new(), Mailchimp::new());
    let house = House {
        login: Some(("leads".to_owned(), "secret-password".to_owned())),
        takes_tokens: true,
        strangers: ["nobody@barn.example".to_owned()].into(),
        ..House::default()
    };
    let mail = MailServer::start(house).await?;
    mail.set_tokens(["good-token".to_owned()]);
    let airtable_told = json!({"token": airtable.token, "base": airtable.base, "table": airtable.table});
    let mailchimp_told = json!({"api_key": mailchimp.api_key, "list": mailchimp.list});
    let (airtable, airtable_told) = start(airtable, airtable_told).await?;
    let (mailchimp, mailchimp_told) = start(mailchimp, mailchimp_told).await?;
    let (hubspot, hubspot_told) = start(Hubspot::default(), json!({"token": "pat-eu1-good"})).await?;
    let (pipedrive, pipedrive_told) =
        start(Pipedrive::default(), json!({"api_token": "pipedrive-good"})).await?;
    let (salesforce, salesforce_told) = start(Salesforce::default(), json!({})).await?;
    let brevo = Brevo::default();
    let brevo_told = json!({"api_key": brevo.api_key, "lists": brevo.lists});
    let (brevo, brevo_told) = start(brevo, brevo_told).await?;
    let (discord, discord_told) = start(
        Discord::new("123456789", "discord-good"),
        json!({"path": "/api/webhooks/123456789/discord-good"}),
    )
    .await?;
    let (teams, teams_told) = start(
        Teams::new("/workflows/0f1e/triggers/manual/paths/invoke", "teams-good"),
        json!({"sig": "teams-good"}),
    )
    .await?;
    let google = GoogleSheets::default();
    let google_told = json!({"spreadsheet": google.spreadsheet, "key_file": google.key_file()});
    let (google, google_told) = start(google, google_told).await?;
    let (klaviyo, klaviyo_told) =
        start(Klaviyo::default(), json!({"api_key": "pk_0123456789abcdef", "list": "Y6nRLr"})).await?;
    let active = ActiveCampaign::default();
    let active_told = json!({"api_token": active.api_token, "list": active.list});
    let (active, active_told) = start(active, active_told).await?;
    let (zoho, zoho_told) = start(Zoho::default(), json!({})).await?;
    let (dynamics, dynamics_told) = start(Dynamics::default(), json!({"client_id": "client-1"})).await?;
    let url = zoho.url();
    zoho.with(|zoho| zoho.api_domain = url);
    let (slack, slack_told) = start(Slack::new("/services/T1/B1/X1"), json!({})).await?;
    let instance = salesforce.url();
    salesforce.with(|org| (org.instance_url, org.calls_left) = (instance, SALESFORCE_CALLS));
    let told = json!({"airtable": airtable_told, "mailchimp": mailchimp_told, "hubspot": hubspot_told,
        "pipedrive": pipedrive_told, "salesforce": salesforce_told, "slack": slack_told,
        "google_sheets": google_told, "brevo": brevo_told, "discord": discord_told, "teams": teams_told,
        "klaviyo": klaviyo_told, "activecampaign": active_told, "zoho": zoho_told, "dynamics": dynamics_told,
        "mail": {"port": mail.port()}});
    writeln!(io::stdout(), "{told}")?;
    let _crms =
        (airtable, mailchimp, hubspot, pipedrive, salesforce, google, brevo, active, klaviyo, zoho, dynamics);
    let _people = (slack, discord, teams, mail);
    pending().await
}

async fn start<V: Vendor>(vendor: V, mut told: Value) -> io::Result<(Fake<V>, Value)> {
    let fake = Fake::start(vendor).await?;
    told["url"] = fake.url().into();
    Ok((fake, told))
}
