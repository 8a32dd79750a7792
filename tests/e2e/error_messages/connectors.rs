//! Configurations and credentials that no push could be made with, and what they are refused with when they are saved.

use leadlined::connectors;

use super::Scene;

/// The connector with its options (`~` is a blank in a word), and the line on stderr.
#[rustfmt::skip]
const CONFIGURATIONS: &[(&str, &str)] = &[
    (r#"activecampaign --config {"api_url":"https://x.api-us1.com/api/3","list_id":"3"}"#, "api_url must be scheme, host and port only, as https://sandbox.example.com"),
    (r#"activecampaign --config {"api_url":"https://x.api-us1.com","list_id":"News"}"#, "list_id must be the list's number, as 3"),
    (r#"activecampaign --config {"api_url":"https://x.api-us1.com","list_id":"3","tags":"a,b,c,d,e,f"}"#, "tags: at most 5 of them"),
    (r#"dynamics --config {"environment_url":"https://x.crm4.dynamics.com","tenant_id":"a/b"}"#, "tenant_id must be the directory's id or domain"),
    (r#"dynamics --config {"environment_url":"https://x.crm4.dynamics.com","tenant_id":"t","alternate_key":"a-b"}"#, "alternate_key must be a column's logical name, as new_leadref"),
    (r#"dynamics --config {"environment_url":"https://x.crm4.dynamics.com","tenant_id":"t","campaign_id":"Fair"}"#, "campaign_id must be a campaign's id, as 0f1e2d3c-0000-4000-8000-000000000001"),
    (r#"zoho --config {"accounts_url":"https://accounts.zoho.eu/oauth"}"#, "accounts_url must be scheme, host and port only, as https://sandbox.example.com"),
    (r#"zoho --config {"tags":"a,b,c,d,e,f,g,h,i,j,k"}"#, "tags: at most 10 of them"),
    (r#"zoho --config {"assignment_rule":"mine"}"#, "assignment_rule must be a rule's id, which is a number"),
    (r#"airtable --config {"base_id":"a/b","table":"t"}"#, "base_id must be the id alone, as appAbCdEfGhIjKlMn, not the address"),
    (r#"airtable --config {"base_id":"a","table":"t"} --mapping {"lead.uuid":null}"#, "lead.uuid: must go to a column, records are found by it; remove the null"),
    (r#"brevo --config {"list_ids":"Leads"}"#, "list_ids must be numbers with commas between them, as 3, 7"),
    (r#"brevo --config {"list_ids":"3","confirm_template_id":5}"#, "confirm_template_id and confirm_redirect_url belong together: set both or neither"),
    (r#"brevo --config {"list_ids":"3","confirm_template_id":5,"confirm_redirect_url":"thanks"}"#, "confirm_redirect_url must be a web address, as https://example.com/thanks"),
    (r#"brevo --config {"list_ids":"3"} --mapping {"lead.email":"EMAIL"}"#, "EMAIL: is the lead's address, by which contacts are found; map nothing to it"),
    (r#"discord --credentials-stdin < {"webhook_url":"https://example.com/a/b"}"#, "webhook_url: must be the URL of a webhook: https://discord.com/api/webhooks/…"),
    (r#"teams --credentials-stdin < {"workflow_url":"https://example.com/a/b"}"#, "workflow_url: must be the URL that the workflow shows: https://….api.powerplatform.com/…"),
    (r#"google_sheets --config {"spreadsheet_id":"Wedding~leads","sheet":"Leads"}"#, "spreadsheet_id must be the id between /d/ and /edit in the spreadsheet's address, or that address"),
    (r#"google_sheets --config {"spreadsheet_id":"1abcdefghijklmnopqrst","sheet":"Leads"} --mapping {"lead.uuid":null}"#, "lead.uuid: must go to a column as it is, for rows are found by it"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads"} --mapping {"owner":{"value":"Ada","new":true}}"#, "owner: \"new\" must go: this connector cannot tell which records are new"),
    (r#"hubspot --config {"list_ids":"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21"}"#, "list_ids must be 20 numbers at most"),
    (r#"hubspot --config {"calls_per_10_seconds":0}"#, "calls_per_10_seconds must be from 1 to 10000"),
    (r#"hubspot --credentials-stdin < {"client_id":"x"}"#, "give a token, or client_id, client_secret and refresh_token"),
    (r#"pipedrive --config {"lead_field":"x"}"#, "lead_field must be the 40 characters that Pipedrive shows as the field's API key"),
    (r#"pipedrive --credentials-stdin < {"client_id":"x"}"#, "give an api_token, or client_id, client_secret and refresh_token"),
    (r#"klaviyo --config {"list_id":"l","revision":"latest"}"#, "revision must be a date, as 2026-07-15"),
    (r#"klaviyo --config {"list_id":"l"} --mapping {"lead.event_type":"subscriptions"}"#, "lead.event_type: subscriptions cannot be written at Klaviyo; map it to another name"),
    (r#"mailchimp --config {"list_id":"l"} --credentials-stdin < {"api_key":"x"}"#, "api_key must end in its data centre, as -us21: copy the whole key"),
    (r#"salesforce --config {"campaign_id":"Fair"}"#, "campaign_id must be a campaign's id, as 701…"),
    (r#"salesforce --config {"external_id_field":"a-b"}"#, "external_id_field must be a field's API name, as Lead_Ref__c"),
    (r#"salesforce --credentials-stdin < {"client_id":"x"}"#, "give client_secret, refresh_token, or private_key and username"),
    (r#"salesforce --credentials-stdin < {"client_id":"x","private_key":"y"}"#, "private_key must be an RSA key in PEM, from its BEGIN line to its END line"),
    (r#"slack --credentials-stdin < {"webhook_url":"https://example.com/a/b"}"#, "webhook_url: must be the URL of an incoming webhook: https://hooks.slack.com/services/…"),
    (r#"zapier --credentials-stdin < {"hook_url":"https://example.com/hooks/catch/1/a"}"#, "hook_url: must be the URL of a Catch Hook: https://hooks.zapier.com/hooks/catch/…"),
    (r#"make --credentials-stdin < {"hook_url":"https://example.com/a"}"#, "hook_url: must be the URL of a custom webhook: https://hook.ZONE.make.com/…"),
    (r#"n8n --credentials-stdin < {"hook_url":"https://n8n.example.com/webhook-test/x"}"#, "hook_url: is a test URL, which listens for two minutes after a click: activate the workflow and use its production URL (/webhook/…)"),
    (r#"webhook --config {"url":"https://example.com:0/"}"#, "url: nothing listens on port 0: write another, or leave it out"),
    (r#"webhook --config {"url":"https://${HOST}/x"}"#, r#"url: ${host} is no host that can be looked up: its part "${host}" may have 1 to 63 letters, digits, - and _"#),
    (r#"webhook --config {"url":"https://*.example.com/"}"#, r#"url: *.example.com is no host that can be looked up: its part "*" may have 1 to 63 letters, digits, - and _"#),
    (r#"webhook --config {"url":"https://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.example.com/"}"#, r#"url: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.example.com is no host that can be looked up: its part "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" may have 1 to 63 letters, digits, - and _"#),
    (r#"webhook --config {"url":"https://example.com\n.evil/"}"#, "url: holds a line end or another control character; take it out"),
    (r#"webhook --config {"url":"https://example.com/","query":{"{{a":"x"}}"#, "query {{a: a query name takes no template"),
    (r#"email --config {"host":"a/b","from":"a@example.com","to":"b@example.com"}"#, "host must be a name, as smtp.example.com, without port or path"),
    (r#"email --config {"host":"93.184.216.34","tls":"none","from":"a@example.com","to":"b@example.com"}"#, "host: mail without TLS to 93.184.216.34 is not allowed: use starttls or tls, or start leadlined with --allow-egress 93.184.216.34/32"),
    (r#"email --config {"host":"smtp.example.com","from":"a<b<c@example.com>","to":"b@example.com"}"#, "from: a<b<c@example.com> is not a name and an address"),
    (r#"email --config {"host":"smtp.example.com","from":"nobody","to":"b@example.com"}"#, "from: nobody is not an address that mail can be sent to; write it as name@example.com, other scripts in the domain as xn--"),
    (r#"email --config {"host":"smtp.example.com","from":"a@example.com","to":"b@example.com"} --credentials-stdin < {"username":"x"}"#, "give username and password, or neither for a server without login"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"leads"}"#, "path must begin with /, as /leads"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","find_path":"/f"}"#, "find_path and find_pointer belong together: set both or neither"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","update_path":"/u/{id}"}"#, "update_path needs the CRM's id: set id_pointer, or find_path and find_pointer"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","id_pointer":"x"}"#, "id_pointer must be a JSON pointer, as /data/id"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","success":{"a":1}}"#, r#"success must be {"pointer": "/status", "equals": "ok"}; without equals, what stands there must not be null; {"statuses": ["2xx", 302]} names statuses"#),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","body":"x"} --mapping {"lead.name":"n"}"#, "body and a mapping are both there; use one of them"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads"} --mapping {"lead.name":"a..b"}"#, r#"mapping: the path "a..b" has an empty step"#),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads"} --mapping {"lead.name":"a","lead.email":"a.b"}"#, "mapping: a.b lies within a, where another field goes"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","auth":"client_credentials"}"#, "token_url is required with auth client_credentials: where tokens are got"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","auth":"client_credentials","token_url":"https://crm.example.com/token","token_auth":"x"}"#, "token_auth x is not one of form, basic"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads","auth":"client_credentials","token_url":"ftp://a/"}"#, "token_url must be an https URL without a login in it"),
    (r#"rest --config {"base_url":"https://crm.example.com","path":"/leads"} --payload save_lead"#, r#"payload "save_lead": connector rest makes a shape of its own; leave it out, or use one of make, n8n, zapier, webhook"#),
];

#[test]
fn every_connector_refuses_something() {
    let named =
        |name: &str| CONFIGURATIONS.iter().any(|(options, _)| options.split(' ').next() == Some(name));
    let missing =
        connectors::ALL.iter().map(|connector| connector.manifest().name).filter(|name| !named(name));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn configurations_are_refused_in_these_words_and_change_nothing() {
    let scene = Scene::start().await;
    let before = scene.contents().await;
    let mut findings = Vec::new();
    for (options, reported) in CONFIGURATIONS {
        let line = format!("integration create --company 7 --name new --disabled --connector {options}");
        let ran = scene.run(&line).await;
        if (ran.code, &*ran.stderr) != (1, &*format!("leadline: {reported}\n")) {
            findings.push(format!("{line}\n  {} {}  {reported}", ran.code, ran.stderr));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert_eq!(scene.contents().await, before);
    scene.end().await;
}
