//! What goes wrong, by chance that can be repeated, and what is remembered of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use leadline_fakes::{
    Fault, OpenAccount, Reply, Request,
    mail::{MailFault, MailServer, Stage},
    vendor::{Chance, Route},
};
use leadline_proto::v1;

/// One of so many calls goes wrong.
const ONE_OF: u64 = 10;
/// Answers that come too late for the integrations' time-outs.
const LATE: Duration = Duration::from_millis(super::vendors::TIMEOUT_SECONDS * 1000 + 500);

/// A call that went wrong.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    connector: &'static str,
    /// What was answered; none if there was no answer.
    said: Option<String>,
    /// Whose lead the call was about, if it says.
    email: Option<String>,
}

impl Wrong {
    /// Whether this is why an attempt for a lead failed.
    pub(super) fn explains(&self, connector: &str, email: &str, attempt: &v1::Attempt) -> bool {
        self.connector == connector
            && self.email.as_deref().is_none_or(|own| own == email)
            && match &self.said {
                Some(said) => attempt.error.contains(said),
                // What was answered before the silence, a refused token say, leaves its status.
                None => attempt.status_code.is_none() || attempt.error.starts_with("no answer within"),
            }
    }
}

/// Chance, and what it did.
pub(super) struct Chaos {
    chance: Chance,
    wrong: Arc<Mutex<Vec<Wrong>>>,
    is_raging: bool,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed), wrong: Arc::default(), is_raging: true }
    }

    /// Nothing goes wrong.
    pub(super) fn none() -> Self {
        Self { is_raging: false, ..Self::new(0) }
    }

    /// Everything that went wrong so far.
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        self.wrong.lock().unwrap().clone()
    }

    /// A login has run out. Who meets two of them in one push is refused with a fresh token too.
    pub(super) fn ran_out(&self, connector: &'static str) {
        let said = Some("refused with a fresh token too".to_owned());
        self.wrong.lock().unwrap().push(Wrong { connector, said, email: None });
    }

    /// Whether something that happens now and then happens now.
    pub(super) fn strikes(&mut self, one_of: u64) -> bool {
        self.is_raging && self.chance.below(one_of) == 0
    }

    /// Lets a vendor's calls go wrong.
    pub(super) fn over(&mut self, vendor: &dyn OpenAccount) {
        let connector = vendor.connector();
        let mut chance = Chance::new(self.chance.below(u64::MAX));
        let wrong = Arc::clone(&self.wrong);
        vendor.disturb(Some(Box::new(move |request| {
            if chance.below(ONE_OF) > 0 {
                return None;
            }
            let mut wrong = wrong.lock().unwrap();
            let (fault, said) = fault(chance.below(16), &format!("storm {};", wrong.len()));
            wrong.push(Wrong { connector, said, email: email(request) });
            Some(fault)
        })));
    }

    /// Lets the next mail go wrong.
    pub(super) fn over_mail(&mut self, server: &MailServer) {
        use MailFault::{ActThenClose, ActThenHang, Close, Say};
        let faults = [
            (Stage::Greeting, Say("421 4.3.2 storm of greetings")),
            (Stage::Auth, Close),
            (Stage::RcptTo, Say("450 4.2.0 storm of recipients")),
            (Stage::Message, Say("554 5.7.1 storm of messages")),
            (Stage::Message, Close),
            (Stage::Message, ActThenClose),
            (Stage::Message, ActThenHang),
        ];
        let at = usize::try_from(self.chance.below(faults.len() as u64)).unwrap_or_default();
        let (stage, fault) = faults[at].clone();
        let said = if let Say(text) = fault { Some(text.to_owned()) } else { None };
        self.wrong.lock().unwrap().push(Wrong { connector: "email", said, email: None });
        server.fault(stage, fault);
    }
}

/// A fault, and what of its answer an error must quote.
fn fault(kind: u64, mark: &str) -> (Fault, Option<String>) {
    let said = |status: u16| Reply::status(status).body(mark.to_owned());
    let fault = match kind {
        0..=1 => Fault::Answer(said(503)),
        2 => Fault::Answer(said(500)),
        3 => Fault::Answer(said(502)),
        4 => Fault::Answer(said(503).header("Retry-After", "1")),
        5 => Fault::Answer(said(429).header("Retry-After", "1")),
        6 => Fault::Answer(said(422)),
        7 => Fault::Answer(said(401)),
        8..=9 => return (Fault::Close, None),
        10..=12 => return (Fault::ActThenClose, None),
        13 => return (Fault::ActThenGarble, Some("<html>".to_owned())),
        _ => return (Fault::ActThenWait(LATE), None),
    };
    (fault, Some(mark.to_owned()))
}

/// The address that a call is about, if it names one.
fn email(request: &Request) -> Option<String> {
    let route = Route::of(request);
    let words = route.path.iter().chain(route.query.values()).map(String::as_str);
    // What a chat shows as it stands has its dots and other marks escaped.
    let text = words.chain([&*String::from_utf8_lossy(&request.body)]).collect::<Vec<_>>().join(" ");
    let text = text.replace('\\', "");
    let at = text.find("@example.com")?;
    let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '.';
    let name: String = text[..at].chars().rev().take_while(is_part).collect();
    Some(format!("{}@example.com", name.chars().rev().collect::<String>()))
}
