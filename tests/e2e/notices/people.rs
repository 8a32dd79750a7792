//! Notices where people read them: Slack and mail tell each change once, and what a target says stays text.

use leadline_fakes::{
    Behaviour, Fake,
    mail::{House, MailServer},
    slack::Slack,
};
use leadline_proto::v1;
use leadline_tests::{Operator, request_id, wait_until};
use serde_json::{Value, json};

const COMPANY: &str = "The <!channel> & *Old* Barn";
const INTEGRATION: &str = "crm <https://evil.example|open> & Co";
/// What somebody who runs a target might answer.
const ANSWER: &str = "no\r\nBcc: evil@example.com\r\n\r\n<!everyone> *act* <https://evil.example|now>\r\nConnector: none\u{2028}At: never";

/// A company with a target that can fail, and the two who are told.
struct Scene {
    set: leadline_tests::Scene,
    slack: Fake<Slack>,
    mail: MailServer,
}

impl Scene {
    async fn start() -> Self {
        let set = leadline_tests::Scene::set().webhook(INTEGRATION, "/").start().await;
        let named = v1::UpdateCompanyRequest {
            request_id: request_id(),
            company: "7".into(),
            name: Some(COMPANY.into()),
            ..Default::default()
        };
        set.operator.companies().update_company(named).await.unwrap();
        let slack = Fake::start(Slack::new("/services/T1/B1/abcdefghijklmnop")).await.unwrap();
        let hook = json!({"webhook_url": "https://hooks.slack.com/services/T1/B1/abcdefghijklmnop"});
        tell(&set.operator, "slack", &json!({"base_url": slack.url()}), &hook).await;
        let mail = MailServer::start(House::default()).await.unwrap();
        let config = json!({"host": "127.0.0.1", "port": mail.port(), "tls": "none",
            "from": "leads@barn.example", "to": "ops@barn.example"});
        tell(&set.operator, "email", &config, &Value::Null).await;
        Self { set, slack, mail }
    }

    /// Waits until both have heard of so many changes, and gives what the last message of each says: Slack's blocks,
    /// and the mail's text.
    async fn reported(&self, count: usize, headline: &str) -> (String, String) {
        wait_until(headline, async || {
            let posted = self.slack.with(|slack| slack.messages.len());
            posted.min(self.mail.taken().len()) >= count
        })
        .await;
        let message = self.slack.with(|slack| slack.messages[count - 1].clone());
        assert_eq!(
            (&message["text"], &message["blocks"][0]["text"]["text"]),
            (&json!(headline), &json!(headline))
        );
        assert_eq!(message["blocks"][1]["text"]["type"], "plain_text");
        let mail = &self.mail.taken()[count - 1];
        assert_eq!(
            (mail.header("Subject").as_deref(), mail.to.as_slice()),
            (Some(headline), &["ops@barn.example".to_owned()][..])
        );
        let head = mail.message.split("\r\n\r\n").next().unwrap();
        let names: Vec<&str> = head.split("\r\n").map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(
            names,
            [
                "Date",
                "From",
                "To",
                "Subject",
                "Message-ID",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type",
                "Content-Transfer-Encoding"
            ]
        );
        (message["blocks"][1]["text"]["text"].as_str().unwrap().to_owned(), mail.text())
    }

    async fn end(self) {
        self.set.end().await;
        self.slack.stop().await;
        self.mail.stop().await;
    }
}

/// An integration that is told notices and no leads.
async fn tell(operator: &Operator, connector: &str, config: &Value, credentials: &Value) {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: connector.into(),
        name: connector.into(),
        config: config.to_string(),
        credentials: if credentials.is_null() { String::new() } else { credentials.to_string() },
        notices: true,
        ..Default::default()
    };
    operator.integrations().create_integration(request).await.unwrap();
}

/// What a notice with this sentence says, without when.
fn notice(sentence: &str) -> String {
    format!("{sentence}\n\nCompany: {COMPANY}\nIntegration: {INTEGRATION}\nConnector: webhook\nAt: ")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_of_each_change_once_and_nothing_in_it_is_markup() {
    let scene = Scene::start().await;
    let who = format!("Integration {INTEGRATION:?} of {COMPANY}");
    let answer =
        "no Bcc: evil@example.com <!everyone> *act* <https://evil.example|now> Connector: none At: never";
    let failing =
        format!("{who} is failing: 422 Unprocessable Entity: {answer}. Deliveries that wait dead: 1.");
    let refused = format!(
        "{who} is refused for its credentials: 401 Unauthorized: {answer}. Give it new ones, then retry."
    );
    let recovered = format!("{who} delivers again. Deliveries that wait dead: 2.");
    for (n, behaviour, headline, sentence) in [
        (1, Behaviour::RefuseAll(422, ANSWER.into()), "Leadline: integration failing", failing),
        (2, Behaviour::RefuseAll(401, ANSWER.into()), "Leadline: credentials refused", refused),
        (3, Behaviour::Good, "Leadline: integration recovered", recovered),
    ] {
        scene.set.receiver.set(behaviour);
        scene.set.post(n).await;
        let (slack, mail) = scene.reported(n, headline).await;
        let notice = notice(&sentence);
        let unescaped = slack.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert!(unescaped.starts_with(&notice), "{slack}");
        assert!(
            !slack.contains(['<', '>']) && unescaped.lines().count() == notice.lines().count(),
            "{slack}"
        );
        let mail = mail.replace("\r\n", "\n");
        let (before, after) = mail.split_once(&notice).unwrap_or_else(|| panic!("{mail}"));
        assert_eq!(before, format!("{headline}\nFor {COMPANY}\n\n"));
        assert!(after.ends_with(" (UTC)\n\nSent by Leadline.") && after.lines().count() == 3, "{mail}");
    }
    let markup = scene.slack.with(|slack| slack.markup());
    assert!(markup.len() == 3 && markup.iter().all(|text| !text.contains('<')), "{markup:?}");
    assert_eq!((scene.slack.with(|slack| slack.messages.len()), scene.mail.taken().len()), (3, 3));
    scene.end().await;
}
