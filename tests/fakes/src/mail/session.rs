//! The conversation, from the greeting to the goodbye.

use std::{future::pending, io, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::net::TcpStream;

use super::{MailFault, Shared, Stage, Taken, wire::Wire};

/// RFC 5322, 2.1.1.
const LINE_MAX: usize = 998;

struct SmtpSession {
    wire: Wire,
    shared: Arc<Shared>,
    login: Option<String>,
    /// How it was logged in.
    auth: String,
    from: Option<String>,
    to: Vec<String>,
}

/// What follows a command.
enum Next {
    Say(String),
    /// TLS begins behind the reply.
    Secure,
    Close,
}

fn say(text: &str) -> Next {
    Next::Say(text.to_owned())
}

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    if let (true, Some(acceptor)) = (shared.house.is_implicit, &shared.house.tls) {
        wire = wire.secured(acceptor).await?;
    }
    let mut session =
        SmtpSession { wire, shared, login: None, auth: String::new(), from: None, to: Vec::new() };
    if !session.reply(Stage::Greeting, Next::Say("220 fake.example ESMTP".to_owned())).await? {
        return Ok(());
    }
    while let Some(line) = session.wire.line().await? {
        let goes_on = session.answer(&line).await?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

impl SmtpSession {
    async fn answer(&mut self, line: &str) -> io::Result<bool> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        self.shared.note(if verb == "AUTH" { "AUTH".to_owned() } else { line.to_owned() });
        let stage = match &*verb {
            "EHLO" | "HELO" => Stage::Ehlo,
            "STARTTLS" => Stage::StartTls,
            "AUTH" => Stage::Auth,
            "MAIL" => Stage::MailFrom,
            "RCPT" => Stage::RcptTo,
            "DATA" => return self.data().await,
            "NOOP" => Stage::Noop,
            "QUIT" => {
                self.wire.say("221 2.0.0 goodbye").await?;
                return Ok(false);
            }
            _ => {
                self.wire.say("502 5.5.1 command not known").await?;
                return Ok(true);
            }
        };
        if let Some(MailFault::Say(text)) = self.peek_say(stage) {
            self.wire.say(text).await?;
            return Ok(!text.starts_with("421"));
        }
        if verb == "AUTH" {
            self.auth = rest.to_owned();
        }
        let next = match stage {
            _ if self.shared.house.quotes_at == Some(stage) => self.quote(),
            Stage::Ehlo => self.hello(),
            Stage::StartTls if self.wire.is_secure || self.shared.house.tls.is_none() => {
                say("502 5.5.1 no TLS here")
            }
            Stage::StartTls => Next::Secure,
            Stage::Auth => self.auth(rest).await?,
            Stage::MailFrom => self.mail_from(rest),
            Stage::RcptTo => self.rcpt_to(rest),
            _ => say("250 2.0.0 OK"),
        };
        self.reply(stage, next).await
    }

    /// A fault that replaces what the command does.
    fn peek_say(&self, stage: Stage) -> Option<MailFault> {
        let mut state = self.shared.lock();
        let at = state
            .faults
            .iter()
            .position(|(wanted, fault)| *wanted == stage && matches!(fault, MailFault::Say(_)))?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }

    /// Replies, or does what the fault of this stage wants. The answer is whether the conversation goes on.
    async fn reply(&mut self, stage: Stage, next: Next) -> io::Result<bool> {
        let mut behind = String::new();
        match self.shared.fault(stage) {
            Some(MailFault::Say(text)) => {
                self.wire.say(text).await?;
                return Ok(!text.starts_with(['4', '5']));
            }
            Some(MailFault::Close | MailFault::ActThenClose) => return Ok(false),
            Some(MailFault::ActThenHang) => pending::<()>().await,
            Some(MailFault::Inject(text)) => behind = format!("\r\n{text}"),
            None => {}
        }
        match next {
            Next::Say(text) => self.wire.say(&format!("{text}{behind}")).await.map(|()| true),
            Next::Close => Ok(false),
            Next::Secure => {
                self.wire.say(&format!("220 2.0.0 go ahead{behind}")).await?;
                let Some(acceptor) = self.shared.house.tls.clone() else { return Ok(false) };
                let plain = std::mem::replace(&mut self.wire, Wire::none());
                self.wire = plain.secured(&acceptor).await?;
                (self.login, self.from) = (None, None);
                Ok(true)
            }
        }
    }

    fn hello(&mut self) -> Next {
        let mut words = vec!["fake.example", "PIPELINING", "SIZE 10485760", "ENHANCEDSTATUSCODES"];
        if self.shared.house.tls.is_some() && !self.wire.is_secure {
            words.push("STARTTLS");
        } else if self.shared.house.login.is_some() {
            words.push(if self.shared.house.takes_tokens {
                "AUTH PLAIN LOGIN XOAUTH2"
            } else {
                "AUTH PLAIN LOGIN"
            });
        }
        let last = words.len() - 1;
        let lines: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(at, word)| format!("250{}{word}", if at == last { ' ' } else { '-' }))
            .collect();
        Next::Say(lines.join("\r\n"))
    }

    async fn auth(&mut self, rest: &str) -> io::Result<Next> {
        let Some((name, password)) = self.shared.house.login.clone() else {
            return Ok(say("503 5.5.1 AUTH is not offered"));
        };
        let (mechanism, first) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_good = match mechanism {
            "PLAIN" => self.ask("", first).await? == format!("\0{name}\0{password}"),
            "LOGIN" => {
                let given = self.ask("Username:", first).await?;
                self.ask("Password:", "").await? == password && given == name
            }
            "XOAUTH2" if self.shared.house.takes_tokens => self.is_token_good(&name, first).await?,
            _ => return Ok(say("504 5.5.4 there is no such AUTH here")),
        };
        if is_good {
            self.login = Some(name);
            Ok(say("235 2.7.0 welcome"))
        } else {
            Ok(say("535 5.7.8 user name or password not accepted"))
        }
    }

    /// As Google and Microsoft do it: what is wrong with a token is told as a challenge, and the refusal follows.
    async fn is_token_good(&mut self, name: &str, first: &str) -> io::Result<bool> {
        let said = self.ask("", first).await?;
        let token = said
            .strip_prefix(&format!("user={name}\x01auth=Bearer "))
            .and_then(|rest| rest.strip_suffix("\x01\x01"));
        if token.is_some_and(|token| self.shared.lock().tokens.contains(token)) {
            return Ok(true);
        }
        let why = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;
        self.ask(why, "").await?;
        Ok(false)
    }

    /// What the client answers to a challenge, unless it said so before it was asked.
    async fn ask(&mut self, challenge: &str, said: &str) -> io::Result<String> {
        if !said.is_empty() {
            return Ok(decoded(said));
        }
        self.wire.say(&format!("334 {}", STANDARD.encode(challenge))).await?;
        Ok(decoded(&self.wire.line().await?.unwrap_or_default()))
    }

    /// A refusal that says all that it was told in confidence.
    fn quote(&self) -> Next {
        let plain = decoded(self.auth.rsplit(' ').next().unwrap_or_default());
        let words: Vec<&str> = plain.split('\0').filter(|word| !word.is_empty()).collect();
        let encoded = words.iter().map(|word| STANDARD.encode(word)).collect::<Vec<_>>().join(" ");
        Next::Say(format!("535 5.7.8 who is {}, {encoded} or AUTH {}?", words.join(" "), self.auth))
    }

    fn mail_from(&mut self, rest: &str) -> Next {
        let house = &self.shared.house;
        if house.tls.is_some() && !self.wire.is_secure {
            return say("530 5.7.0 Must issue a STARTTLS command first");
        }
        if house.login.is_some() && self.login.is_none() {
            return say("530 5.7.0 Authentication required");
        }
        match between(rest, "FROM:") {
            Some(from) if !from.is_empty() => {
                (self.from, self.to) = (Some(from), Vec::new());
                say("250 2.1.0 OK")
            }
            _ => say("501 5.1.7 bad sender"),
        }
    }

    fn rcpt_to(&mut self, rest: &str) -> Next {
        let (Some(from), Some(to)) = (self.from.clone(), between(rest, "TO:")) else {
            return say("503 5.5.1 MAIL first");
        };
        if self.shared.house.strangers.contains(&to) {
            return Next::Say(format!("550 5.1.1 <{to}>: there is no such user"));
        }
        if self.shared.house.is_grey && !self.shared.is_known(&from, &to) {
            return say("450 4.2.0 Greylisted, try again in 2 seconds");
        }
        self.to.push(to);
        say("250 2.1.5 OK")
    }

    async fn data(&mut self) -> io::Result<bool> {
        if let Some(MailFault::Say(text)) = self.peek_say(Stage::Data) {
            return self.wire.say(text).await.map(|()| true);
        }
        let next = if self.to.is_empty() { say("503 5.5.1 RCPT first") } else { say("354 go ahead") };
        let takes = !self.to.is_empty();
        if !self.reply(Stage::Data, next).await? {
            return Ok(false);
        }
        if !takes {
            return Ok(true);
        }
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.wire.line().await? else { return Ok(false) };
            if line == "." {
                break;
            }
            lines.push(line.strip_prefix('.').map_or_else(|| line.clone(), ToOwned::to_owned));
        }
        if let Some(MailFault::Say(text)) = self.peek_say(Stage::Message) {
            return self.wire.say(text).await.map(|()| true);
        }
        if self
            .shared
            .lock()
            .faults
            .iter()
            .any(|(stage, fault)| *stage == Stage::Message && matches!(fault, MailFault::Close))
        {
            return self.reply(Stage::Message, Next::Close).await;
        }
        let next = self.take(&lines);
        self.reply(Stage::Message, next).await
    }

    fn take(&mut self, lines: &[String]) -> Next {
        if let Some(problem) = problem(lines) {
            return Next::Say(format!("554 5.6.0 {problem}"));
        }
        self.shared.take(Taken {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            message: lines.join("\r\n"),
            is_secure: self.wire.is_secure,
            login: self.login.clone(),
        });
        say("250 2.0.0 Ok: queued as FAKE1")
    }
}

/// Why a message is not one: what strict servers look at.
fn problem(lines: &[String]) -> Option<String> {
    if lines.iter().any(|line| line.len() > LINE_MAX || !line.is_ascii()) {
        return Some("a line is too long or not ASCII".to_owned());
    }
    let head: Vec<&String> = lines.iter().take_while(|line| !line.is_empty()).collect();
    let strange =
        head.iter().find(|line| !line.starts_with(' ') && !line.split(':').next().is_some_and(is_name));
    if let Some(line) = strange {
        return Some(format!("{line:?} is no header"));
    }
    let count = |name: &str| {
        head.iter().filter(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:"))).count()
    };
    ["date", "from", "to", "subject", "message-id"]
        .into_iter()
        .find(|name| count(name) != 1)
        .map(|name| format!("{} of {name}", count(name)))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn between(text: &str, word: &str) -> Option<String> {
    let rest = text
        .get(..word.len())
        .filter(|start| start.eq_ignore_ascii_case(word))
        .map(|_| &text[word.len()..])?;
    let (address, _) = rest.strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

fn decoded(text: &str) -> String {
    STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
