//! What mail is configured with.

use std::sync::Arc;

use url::Host;

use super::message::Mailbox;
use crate::{MailSecurity, oauth::TokenUrl, prelude::*};
use leadline_domain::template::{Place, Template};

/// More is a newsletter.
const RECIPIENTS_MAX: usize = 20;

settings! {
    /// The server, who sends and who is told.
    pub(crate) struct Config {
        /// The mail server that takes our mail, as smtp.example.com
        host: ServerName,
        /// Its port; absent for the usual one: 587 with starttls, 465 with tls, 25 with none
        port: Option<Int<1, 65535>>,
        /// starttls (required, or nothing is sent), tls (from the first byte), or none (only to addresses that the daemon's configuration allows)
        tls: Security = "starttls",
        /// Who sends, as The Old Barn <leads@example.com>
        from: Sender,
        /// Who is told: up to 20, separated by commas, as sales@example.com, Ann <ann@example.com>
        to: Recipients,
        /// A template for the subject; absent tells what happened, who it is, the occasion and the date
        subject: Option<Subject>,
    }
}

settings! {
    /// What we log in with, if the server wants a login.
    pub(crate) struct Credentials {
        /// The login's name
        username: Option<Exact<String>>,
        /// The login's password; absent where a token opens the mailbox
        password: Option<Exact<SecretString>>,
        /// A token of OAuth 2 in place of the password, to try it: it runs out, and nothing here renews it
        access_token: Option<SecretString>,
        /// The app that gets tokens, in place of a password
        client_id: Option<SecretString>,
        /// The app's secret
        client_secret: Option<SecretString>,
        /// What the app gets tokens with on behalf of the mailbox; absent where it may do so on its own
        refresh_token: Option<SecretString>,
        /// Where it gets them, as https://oauth2.googleapis.com/token
        token_url: Option<TokenUrl>,
        /// What it asks for, where the provider wants to be told
        scope: Option<String>,
    }
}

words! {
    /// How the connection is secured.
    pub(crate) enum Security { AfterStart = "starttls", AtOnce = "tls", None = "none" }
}

impl Security {
    /// What a connection is told, and the port that is usual for it.
    pub(super) fn usual(self) -> (MailSecurity, u16) {
        match self {
            Self::AfterStart => (MailSecurity::StartTls, 587),
            Self::AtOnce => (MailSecurity::Tls, 465),
            Self::None => (MailSecurity::None, 25),
        }
    }
}

parsed! {
    /// A host as a resolver wants it: an IPv6 address without its brackets.
    #[derive(Default)]
    pub(crate) struct ServerName(String) = server_name
}

parsed! {
    /// Who sends.
    #[derive(Default)]
    pub(crate) struct Sender(Mailbox) = Mailbox::parse
}

parsed! {
    /// Who is told.
    #[derive(Default)]
    pub(crate) struct Recipients(Vec<Mailbox>) = recipients
}

parsed! {
    /// The subject of a mail, filled in with the event.
    pub(crate) struct Subject(Arc<Template>) = subject
}

fn server_name(text: &str) -> Result<String, Problem> {
    let host = Host::parse(text)
        .map_err(|_| Problem::new("must be a name, as smtp.example.com, without port or path"))?;
    Ok(bare(&host))
}

/// A host as a resolver wants it: an IPv6 address without its brackets.
pub(super) fn bare<S: AsRef<str>>(host: &Host<S>) -> String {
    host.to_string().trim_matches(['[', ']']).to_owned()
}

/// A text of commas alone names nobody.
fn recipients(text: &str) -> Result<Vec<Mailbox>, Problem> {
    let named = text.split(',').filter(|text| !text.trim().is_empty());
    let (read, wrong): (Vec<_>, Vec<_>) = named.map(Mailbox::parse).partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).map(|problem| problem.text).collect();
    let read: Vec<Mailbox> = read.into_iter().flatten().collect();
    match read.len() {
        _ if !wrong.is_empty() => Err(Problem::new(wrong.join("; to: "))),
        0 => Err(Problem::new("must name somebody, as sales@example.com")),
        count if count > RECIPIENTS_MAX => {
            Err(Problem::new(format!("{count} recipients are too many; at most {RECIPIENTS_MAX}")))
        }
        _ => Ok(read),
    }
}

fn subject(text: &str) -> Result<Arc<Template>, Problem> {
    Template::compile(text, Place::Text).map(Arc::new).map_err(|problem| Problem::new(problem.to_string()))
}
