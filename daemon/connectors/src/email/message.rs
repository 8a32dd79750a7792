//! A plain-text message as it goes over the wire: ASCII alone, so that every server takes it, and nothing that a lead
//! contains can add a header.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{prelude::*, summary::one_line};

/// How long a line of an encoded text may be.
const LINE_MAX: usize = 76;
/// How many bytes an encoded word may carry, so that it stays below 76 characters.
const WORD_MAX: usize = 42;
/// A header that is longer is folded.
const HEADER_MAX: usize = 900;
/// RFC 5321, 4.5.3.1.
const LOCAL_MAX: usize = 64;
const ADDRESS_MAX: usize = 254;

/// An address with the name of who is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(super) name: Option<String>,
    pub(super) address: String,
}

/// What a message says.
pub(super) struct Message<'a> {
    pub(super) id: String,
    pub(super) at: Moment,
    pub(super) from: &'a Mailbox,
    pub(super) to: &'a [Mailbox],
    pub(super) reply_to: Option<&'a str>,
    /// The first message about the lead, which later ones reply to, so that readers show them as one conversation.
    pub(super) root: Option<&'a str>,
    pub(super) subject: &'a str,
    /// Lines end with a line feed.
    pub(super) text: &'a str,
}

impl Mailbox {
    /// Reads `leads@example.com` or `The Old Barn <leads@example.com>`.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"').trim(), address.trim()),
            None => ("", text),
        };
        if name.contains(char::is_control) || name.contains(['<', '>']) {
            return Err(Problem::new(format!("{} is not a name and an address", one_line(text))));
        }
        if !is_address(address) {
            return Err(Problem::new(format!(
                "{} is not an address that mail can be sent to; write it as name@example.com, other scripts in the domain as xn--",
                one_line(address)
            )));
        }
        Ok(Self { name: Some(name.to_owned()).filter(|name| !name.is_empty()), address: address.to_owned() })
    }

    /// What follows the @.
    pub(super) fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    fn to_header(&self) -> String {
        match &self.name {
            None => self.address.clone(),
            Some(name) if is_plain(name) => {
                format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address)
            }
            Some(name) => format!("{} <{}>", encoded_words(name), self.address),
        }
    }
}

/// Whether this is an address that needs no extension and no quoting.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let is_label = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= ADDRESS_MAX
        && local.len() <= LOCAL_MAX
        && local.split('.').all(is_atom)
        && domain.split('.').all(is_label)
}

impl Message<'_> {
    /// Headers and text, without the line end that closes them.
    pub(super) fn to_bytes(&self) -> Bytes {
        let to: Vec<String> = self.to.iter().map(Mailbox::to_header).collect();
        let (encoding, text) = encoded_text(self.text);
        let mut lines = vec![
            format!("Date: {}", date(self.at)),
            format!("From: {}", self.from.to_header()),
            format!("To: {}", to.join(",\r\n ")),
            format!("Subject: {}", unstructured(self.subject)),
            format!("Message-ID: <{}>", self.id),
        ];
        let threaded = |header| self.root.map(|root| format!("{header}: <{root}>"));
        lines.extend(["In-Reply-To", "References"].into_iter().filter_map(threaded));
        lines.extend(self.reply_to.map(|address| format!("Reply-To: {address}")));
        lines.extend([
            "Auto-Submitted: auto-generated".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            format!("Content-Transfer-Encoding: {encoding}"),
            String::new(),
            text,
        ]);
        lines.join("\r\n").into()
    }
}

/// `Sat, 21 Nov 2026 11:34:19 +0000`
fn date(at: Moment) -> String {
    httpdate::fmt_http_date(at.system_time()).replace("GMT", "+0000")
}

fn is_plain(text: &str) -> bool {
    text.len() <= HEADER_MAX && !text.contains("=?") && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn unstructured(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { encoded_words(text) }
}

/// RFC 2047: words of base64, each of whole characters.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end =
            (1..=rest.len().min(WORD_MAX)).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(&rest[..end])));
        rest = &rest[end..];
    }
    words.join("\r\n ")
}

/// How the text is encoded, and it so.
fn encoded_text(text: &str) -> (&'static str, String) {
    let is_bare = text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
        && text.lines().all(|line| line.len() <= LINE_MAX && !line.ends_with(' '));
    if is_bare {
        return ("7bit", text.replace('\n', "\r\n"));
    }
    let lines: Vec<String> = text.split('\n').map(quoted_printable).collect();
    ("quoted-printable", lines.join("\r\n"))
}

/// A line in quoted-printable, folded.
fn quoted_printable(line: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_end = at + 1 == bytes.len();
        let piece = match byte {
            b' ' if !is_end => " ".to_owned(),
            b'!'..=b'~' if *byte != b'=' => char::from(*byte).to_string(),
            other => format!("={other:02X}"),
        };
        if width + piece.len() > LINE_MAX - 1 {
            out.push_str("=\r\n");
            width = 0;
        }
        width += piece.len();
        out.push_str(&piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mailboxes_are_read_and_written() {
        for (text, header) in [
            ("leads@example.com", "leads@example.com"),
            (" The Old Barn <leads@example.com> ", "\"The Old Barn\" <leads@example.com>"),
            ("\"Smith, Ann\" <ann@example.com>", "\"Smith, Ann\" <ann@example.com>"),
            ("<a.b+c@sub.example.com>", "a.b+c@sub.example.com"),
            ("Café <a@example.com>", "=?utf-8?B?Q2Fmw6k=?= <a@example.com>"),
            ("=?utf-8?Q?x?= <a@example.com>", "=?utf-8?B?PT91dGYtOD9RP3g/PQ==?= <a@example.com>"),
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().to_header(), header, "{text}");
        }
    }

    #[test]
    fn what_could_break_out_is_no_address() {
        for text in [
            "",
            "a",
            "@example.com",
            "a@",
            "a b@example.com",
            "a@example.com\r\nBcc: x@example.com",
            "a@example.com, b@example.com",
            "a@exa mple.com",
            "a..b@example.com",
            ".a@example.com",
            "\"a b\"@example.com",
            "a@-example.com",
            "a@example..com",
            "ä@example.com",
            "a@bücher.example",
            "a@example.com>",
            "N\nM <a@example.com>",
            "a>b <a@example.com>",
        ] {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        assert!(Mailbox::parse(&long).is_err());
    }

    #[test]
    fn texts_are_encoded_where_they_must_be() {
        let long = "x".repeat(80);
        for (text, encoding, expected) in [
            ("one\ntwo", "7bit", "one\r\ntwo".to_owned()),
            ("£5 = five\nend ", "quoted-printable", "=C2=A35 =3D five\r\nend=20".to_owned()),
            (&*long, "quoted-printable", format!("{}=\r\n{}", "x".repeat(75), "x".repeat(5))),
        ] {
            assert_eq!(encoded_text(text), (encoding, expected));
        }
    }

    #[test]
    fn dates_are_those_of_mail() {
        assert_eq!(date(Moment::from_seconds(784_111_777)), "Sun, 06 Nov 1994 08:49:37 +0000");
    }

    /// What a reader of mail makes of quoted-printable.
    fn decoded(text: &str) -> String {
        let joined = text.replace("=\r\n", "").replace("\r\n", "\n");
        let mut bytes = Vec::new();
        let mut rest = joined.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            if *first == b'=' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
                rest = &more[2..];
            } else {
                bytes.push(*first);
                rest = more;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_survives_in_short_lines_of_ascii(text in "[^\r]*") {
            let (encoding, encoded) = encoded_text(&text);
            prop_assert!(encoded.is_ascii());
            prop_assert!(encoded.split("\r\n").all(|line| line.len() <= LINE_MAX && !line.contains(['\r', '\n'])));
            let read = if encoding == "7bit" { encoded.replace("\r\n", "\n") } else { decoded(&encoded) };
            prop_assert_eq!(read, text);
        }

        #[test]
        fn any_subject_stays_in_its_header(text in any::<String>()) {
            let header = unstructured(&one_line(&text));
            prop_assert!(header.is_ascii());
            prop_assert!(header.split("\r\n ").all(|line| !line.contains(['\r', '\n'])));
        }
    }
}
