//! `email`: a plain-text summary of each lead over SMTP.
//!
//! The whole message is rendered once and repeated byte for byte under one `Message-ID`, so that a mailbox which knows
//! it can drop the second of two; SMTP itself offers no more than at least once.

mod login;
mod message;
mod reply;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::Value;
use url::{Host, Url};

use super::{
    Answer, ConfigField, Connector, Conversation, Found, Mail, MailLogin, MailSecurity, Manifest, Prepared,
    Push, Request, Response, Token, config,
    crm::{self, unrenderable},
    oauth, summary,
};
use leadline_domain::{
    address::{EgressPolicy, allowing},
    integration::{EventKind, Integration, ProbeKind},
    mapping::Mapping,
    outcome::{Failure, FailureClass},
    template::{Context, Place, Template},
};
use login::Login;
use message::{Mailbox, Message};

/// The connector `email`.
#[derive(Debug)]
pub(super) struct Email;

/// More is a newsletter.
const RECIPIENTS_MAX: usize = 20;
/// The longest subject, in characters.
const SUBJECT_MAX: usize = 200;

const FIELDS: &[ConfigField] = &[
    ConfigField::required("host", "text", "The mail server that takes our mail, as smtp.example.com"),
    ConfigField::optional(
        "port",
        "integer",
        "",
        "Its port; absent for the usual one: 587 with starttls, 465 with tls, 25 with none",
    ),
    ConfigField::optional(
        "tls",
        "text",
        "starttls",
        "starttls (required, or nothing is sent), tls (from the first byte), or none (only to addresses that the daemon's configuration allows)",
    ),
    ConfigField::required("from", "text", "Who sends, as The Old Barn <leads@example.com>"),
    ConfigField::required(
        "to",
        "text",
        "Who is told, separated by commas, as sales@example.com, Ann <ann@example.com>",
    ),
    ConfigField::optional(
        "subject",
        "text",
        "",
        "A template for the subject; absent tells what happened, who it is, the occasion and the date",
    ),
];

const CREDENTIALS: &[ConfigField] = &[
    ConfigField::optional("username", "text", "", "The login's name"),
    ConfigField::optional(
        "password",
        "text",
        "",
        "The login's password; absent where a token opens the mailbox",
    ),
    ConfigField::optional(
        "access_token",
        "text",
        "",
        "A token of OAuth 2 in place of the password, to try it: it runs out, and nothing here renews it",
    ),
    ConfigField::optional("client_id", "text", "", "The app that gets tokens, in place of a password"),
    ConfigField::optional("client_secret", "text", "", "The app's secret"),
    ConfigField::optional(
        "refresh_token",
        "text",
        "",
        "What the app gets tokens with on behalf of the mailbox; absent where it may do so on its own",
    ),
    ConfigField::optional(
        "token_url",
        "text",
        "",
        "Where it gets them, as https://oauth2.googleapis.com/token",
    ),
    ConfigField::optional("scope", "text", "", "What it asks for, where the provider wants to be told"),
];

/// What the configuration says, read.
#[derive(Debug)]
struct Settings {
    host: String,
    port: u16,
    security: MailSecurity,
    from: Mailbox,
    to: Vec<Mailbox>,
    subject: Option<Template>,
}

impl Settings {
    /// Reads a configuration; says everything that is wrong with it but what is missing, which the check of all keys
    /// says.
    fn read(config: &Value) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let security = match config::text(config, "tls").unwrap_or("starttls") {
            "tls" => MailSecurity::Tls,
            "starttls" => MailSecurity::StartTls,
            "none" => MailSecurity::None,
            other => {
                problems.push(format!("tls {other:?}: use starttls, tls or none"));
                MailSecurity::StartTls
            }
        };
        let mut keep = |problem: String| problems.push(problem);
        let (host, port) = target(config, security).map_err(&mut keep).unwrap_or_default();
        let mailbox = |text: &str| Mailbox::parse(text);
        let from = config::text(config, "from").map(mailbox).transpose();
        let from = from.map_err(|problem| keep(format!("from: {problem}"))).ok().flatten();
        let mut to = Vec::new();
        for text in
            config::text(config, "to").unwrap_or_default().split(',').filter(|text| !text.trim().is_empty())
        {
            match Mailbox::parse(text) {
                Ok(mailbox) => to.push(mailbox),
                Err(problem) => keep(format!("to: {problem}")),
            }
        }
        if to.len() > RECIPIENTS_MAX {
            keep(format!("to: {} recipients are too many; at most {RECIPIENTS_MAX}", to.len()));
        }
        let subject = config::text(config, "subject").map(|source| Template::compile(source, Place::Text));
        let subject =
            subject.transpose().map_err(|problem| keep(format!("subject: {problem}"))).ok().flatten();
        match from {
            Some(from) if problems.is_empty() && !to.is_empty() => {
                Ok(Self { host, port, security, from, to, subject })
            }
            _ => Err(problems),
        }
    }

    fn mail(&self, login: Option<MailLogin>, message: Bytes) -> Mail {
        Mail {
            host: self.host.clone(),
            port: self.port,
            security: self.security,
            login,
            from: self.from.address.clone(),
            to: self.to.iter().map(|to| to.address.clone()).collect(),
            message,
        }
    }
}

/// Host and port; a base URL stands in for both.
fn target(config: &Value, security: MailSecurity) -> Result<(String, u16), String> {
    let usual = match security {
        MailSecurity::Tls => 465,
        MailSecurity::StartTls => 587,
        MailSecurity::None => 25,
    };
    let port = match config.get("port").filter(|port| !port.is_null()) {
        None => usual,
        Some(port) => port
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| "port must be from 1 to 65535".to_owned())?,
    };
    let base = config::base_url(config)?;
    if let Some(host) = base.as_ref().and_then(Url::host) {
        let port = base.as_ref().and_then(Url::port).unwrap_or(port);
        return Ok((bare(&host), port));
    }
    let host = config::text(config, "host").unwrap_or_default().trim();
    if host.is_empty() {
        return Ok((String::new(), port));
    }
    let host = Host::parse(host)
        .map_err(|_| "host must be a name, as smtp.example.com, without port or path".to_owned())?;
    Ok((bare(&host), port))
}

/// A host as a resolver wants it: an IPv6 address without its brackets.
fn bare<S: AsRef<str>>(host: &Host<S>) -> String {
    host.to_string().trim_matches(['[', ']']).to_owned()
}

/// Checks what can be checked of an address when it is saved; the rest is seen when it is connected to.
fn check_host(settings: &Settings, egress: &EgressPolicy) -> Option<String> {
    if settings.security == MailSecurity::None
        && let Ok(ip) = settings.host.parse()
        && !egress.is_exception(ip)
    {
        return Some(format!(
            "host: mail without TLS to {ip} is not allowed: use starttls or tls, or {}",
            allowing(ip)
        ));
    }
    let host =
        if settings.host.contains(':') { format!("[{}]", settings.host) } else { settings.host.clone() };
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    egress.check(&url).err().map(|problem| format!("host: {problem}"))
}

static MANIFEST: Manifest = Manifest {
    takes_notices: true,
    ..Manifest::new("email", "Mails a plain-text summary of each lead to people", FIELDS, CREDENTIALS)
};

impl Connector for Email {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let mut problems = match Settings::read(config) {
            Ok(settings) => Vec::from_iter(check_host(&settings, egress)),
            Err(problems) => problems,
        };
        problems.extend(Mapping::parse(mapping).err().unwrap_or_default());
        problems
    }

    fn credential_problems(&self, credentials: &Value, egress: &EgressPolicy) -> Vec<String> {
        let problem = match Login::of(credentials) {
            Ok(login) => login
                .token_url()
                .and_then(|url| egress.check(url).err())
                .map(|problem| format!("token_url: {problem}")),
            Err(problem) => Some(problem),
        };
        Vec::from_iter(problem)
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let settings = Settings::read(&integration.config).map_err(|problems| {
            unrenderable(format!("the configuration is not usable: {}", problems.join("; ")))
        })?;
        let mapping =
            Mapping::parse(&integration.mapping).map_err(|problems| unrenderable(problems.join("; ")))?;
        let login = Login::of(&integration.credentials)
            .map_err(|problem| Failure::new(FailureClass::Credentials, problem))?;
        let ours = Ours { id: integration.id.to_string(), company: integration.company_name.clone() };
        Ok(Box::new(Ready { settings, mapping, login, ours }))
    }
}

/// Which integration it is, for the message's id, and whose.
#[derive(Debug)]
struct Ours {
    id: String,
    company: String,
}

/// A mailbox that is ready to be told.
#[derive(Debug)]
struct Ready {
    settings: Settings,
    mapping: Mapping,
    login: Login,
    ours: Ours,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let event = crm::event(push)?;
        let headline = summary::headline(&event, push.event);
        let is_notice = matches!(push.event, EventKind::Notice(_));
        let subject = match &self.settings.subject {
            Some(template) if !is_notice => {
                let context = Context::new(&event, push.event, push.id);
                template.render(&context).map_err(|error| unrenderable(format!("subject: {error}")))?
            }
            _ => headline.clone(),
        };
        let text = summary::body(&self.mapping, &event, push)?;
        let reply_to = event.at("lead.email").map(crm::text).and_then(|email| Mailbox::parse(&email).ok());
        let closing = match &reply_to {
            Some(_) => " Reply to this message to write to the lead.",
            None if is_notice => "",
            None => " The lead's address cannot be replied to.",
        };
        let company = summary::one_line(&self.ours.company);
        let text = format!("{headline}\nFor {company}\n\n{text}\n\nSent by Leadline.{closing}");
        let subject = summary::one_line(&subject);
        let message = Message {
            id: format!("{}.{}@{}", push.id, self.ours.id, self.settings.from.domain()),
            at: push.now,
            from: &self.settings.from,
            to: &self.settings.to,
            reply_to: reply_to.as_ref().map(|reply_to| &*reply_to.address),
            subject: &crm::cut(&subject, SUBJECT_MAX),
            text: &text,
        };
        Ok(Some(message.to_bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let message = summary::whole(self, push)?;
        reply::read(&ctx.send(self.settings.mail(self.login.told(), message)).await?)
    }

    fn login(&self) -> Option<&dyn super::Login> {
        matches!(self.login, Login::App(_)).then_some(self)
    }

    fn probes(&self, kind: ProbeKind) -> bool {
        kind != ProbeKind::Mapping
    }

    /// Without a message it is the login alone that is tried.
    async fn probe(
        &self,
        _kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let login = self.login.told();
        reply::read(&ctx.send(self.settings.mail(login.clone(), Bytes::new())).await?)?;
        let host = &self.settings.host;
        found.account = Some(match login {
            Some(login) => format!("{} at {host}", summary::one_line(&login.username)),
            None => format!("{host}, without login"),
        });
        Ok(())
    }
}

impl super::Login for Ready {
    fn request(&self, _now: i64, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        self.login.request(refresh).ok_or_else(|| config::no_credentials("client_id"))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.refresh_token()
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        oauth::token("email", answer, "", now)
    }

    fn refuses(&self, response: &Response) -> bool {
        reply::refuses_login(response)
    }
}

#[cfg(test)]
mod tests;
