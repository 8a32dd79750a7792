//! `email`: a plain-text summary of each lead over SMTP.
//!
//! The whole message is rendered once and repeated byte for byte under one `Message-ID`, so that a mailbox which knows
//! it can drop the second of two; SMTP itself offers no more than at least once.

mod config;
mod error;
mod login;
mod message;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::{Mail, MailLogin, MailSecurity, REFUSED, config::no_credentials, prelude::*};
use config::{Config, Credentials};
use leadline_domain::address::allowing;
use login::Login;

/// The connector `email`.
#[derive(Debug)]
pub(super) struct Email;

impl TypedConnector for Email {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest {
        takes_notices: true,
        ..Manifest::new::<Self>("email", "Mails a plain-text summary of each lead to people")
    };

    fn problems(&self, config: &Config, given: &Given<'_>) -> Vec<Problem> {
        Vec::from_iter(check_host(&server(config, given.common), given.egress))
    }

    fn credential_problems(&self, credentials: &Credentials, egress: &EgressPolicy) -> Vec<Problem> {
        let refused = Login::of(credentials.clone()).and_then(|login| {
            let refused = login.token_url().and_then(|url| egress.check(url).err());
            refused.map_or(Ok(()), |problem| Err(Problem::of("token_url", problem)))
        });
        Vec::from_iter(refused.err())
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let login = Login::of(setup.credentials)
            .map_err(|problem| Failure::new(FailureClass::Credentials, problem.text))?;
        let Setup { integration, .. } = setup;
        Ok(Box::new(Compiled {
            server: server(&setup.config, &setup.common),
            config: setup.config,
            mapping: setup.mapping,
            login,
            ours: Ours { id: integration.id.to_string(), company: integration.company_name.clone() },
        }))
    }
}

/// Where mail is handed over.
#[derive(Debug)]
struct Server {
    host: String,
    port: u16,
    security: MailSecurity,
}

/// A base URL stands in for host and port.
fn server(config: &Config, common: &Common) -> Server {
    let own = config.port.and_then(|port| u16::try_from(port.0).ok());
    let (security, usual) = config.tls.usual();
    let port = own.unwrap_or(usual);
    let base = common.base();
    let host = base.and_then(Url::host).map_or_else(|| config.host.0.clone(), |host| config::bare(&host));
    Server { host, port: base.and_then(Url::port).unwrap_or(port), security }
}

/// Checks what can be checked of an address when it is saved; the rest is seen when it is connected to.
fn check_host(server: &Server, egress: &EgressPolicy) -> Option<Problem> {
    if server.security == MailSecurity::None
        && let Ok(ip) = server.host.parse()
        && !egress.is_exception(ip)
    {
        let problem =
            format!("mail without TLS to {ip} is not allowed: use starttls or tls, or {}", allowing(ip));
        return Some(Problem::of("host", problem));
    }
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    egress.check(&url).err().map(|problem| Problem::of("host", problem))
}

/// Which integration it is, for the message's id, and whose.
#[derive(Debug)]
struct Ours {
    id: String,
    company: String,
}

/// A mailbox that is ready to be told.
#[derive(Debug)]
struct Compiled {
    server: Server,
    config: Config,
    mapping: Mapping,
    login: Login,
    ours: Ours,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        self.message(push).map(Some)
    }

    fn abilities(&self) -> Abilities {
        Abilities { keeps_ids: true, ..Abilities::MESSAGES }
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let message = summary::whole(self, push)?;
        let answer = ctx.send(self.mail(self.login.told(), message)).await?;
        error::read(&answer)?;
        for who in answer.headers.iter().filter(|(name, _)| name == REFUSED).map(|(_, who)| who) {
            ctx.note(format!("not told: {}", reading::one_line(who, 250)));
        }
        self.keep_root(push, ctx).await;
        Ok(())
    }

    fn login(&self) -> Option<&dyn super::Login> {
        matches!(self.login, Login::App(_)).then_some(self)
    }

    async fn probe(&self, _kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self, ctx).await
    }
}

impl super::Login for Compiled {
    fn request(&self, _now: Moment, refresh: Option<&SecretString>) -> Result<Request> {
        self.login.request(refresh).ok_or_else(|| no_credentials("client_id"))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.login.refresh_token()
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token> {
        oauth::token("email", answer, "", now)
    }

    fn refuses(&self, response: &Response) -> bool {
        error::refuses_login(response)
    }
}

impl Compiled {
    fn mail(&self, login: Option<MailLogin>, message: Bytes) -> Mail {
        Mail {
            host: self.server.host.clone(),
            port: self.server.port,
            security: self.server.security,
            login,
            from: self.config.from.0.address.clone(),
            to: self.config.to.0.iter().map(|to| to.address.clone()).collect(),
            message,
        }
    }
}
