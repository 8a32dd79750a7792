//! What is known of a mailbox as of an account at any vendor.

use std::{io, time::Duration};

use serde_json::json;

use super::{House, MailServer};
use crate::{
    account::{Account, Connection, Inspector, OpenAccount, Opening, Record},
    vendor::Chaos,
};

struct Mailbox<'a>(&'a MailServer);

impl Account for Mailbox<'_> {
    fn connector(&self) -> &'static str {
        "email"
    }

    fn connection(&self, _url: &str) -> Connection {
        let config = json!({"host": "127.0.0.1", "port": self.0.port(), "tls": "none",
            "from": "leads@barn.example", "to": "sales@barn.example"});
        Connection { config, credentials: json!(null) }
    }

    fn is_told(&self) -> bool {
        true
    }

    fn records(&self) -> Vec<Record> {
        let mails = self.0.taken().into_iter().enumerate();
        mails.map(|(n, mail)| Record::text("mail", n, &mail.message.replace("=\r\n", ""))).collect()
    }
}

impl OpenAccount for MailServer {
    fn url(&self) -> String {
        String::new()
    }

    fn look(&self, inspector: Inspector<'_>) {
        inspector(&mut Mailbox(self));
    }

    /// Mail goes wrong at a stage of its talk, never by a call: nothing more goes wrong.
    fn disturb(&self, _chaos: Option<Chaos>) {
        self.calm();
    }

    fn calls(&self) -> Vec<String> {
        Vec::new()
    }

    fn busiest(&self, _window: Duration) -> usize {
        0
    }
}

/// Opens a mailbox that takes mail of anybody, in the clear.
pub(crate) fn open() -> Opening {
    Box::pin(async {
        Ok::<_, io::Error>(Box::new(MailServer::start(House::default()).await?) as Box<dyn OpenAccount>)
    })
}
