//! E-mail addresses: which ones mail could be sent to, and which ones are the same.

use std::sync::LazyLock;

use regex::Regex;

/// What nobody sees or nobody has given a meaning: it makes another person of an address that looks the same.
static UNSEEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Z}\p{Default_Ignorable_Code_Point}\u{2800}]|(?:^|[.@])\p{M}")
        .ok()
});

/// Whether mail could be sent there: one `@`, a plain local part, a domain of labels. Quoted local parts are refused.
/// One space before or after is a slip of the hand and does not count.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let text = trimmed(text);
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |character: char| {
        character.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(character)
            || !character.is_ascii()
    };
    let local_ok =
        local.len() <= 64 && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    let is_seen = text.is_ascii() || UNSEEN.as_ref().is_some_and(|unseen| !unseen.is_match(text));
    text.len() <= 254 && local_ok && is_seen && ascii_domain(domain).is_some()
}

/// The form in which addresses are compared: without a space around it, in lower case, the domain as DNS has it.
#[must_use]
pub fn compared(text: &str) -> String {
    let text = trimmed(text);
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let domain = ascii_domain(domain).unwrap_or_else(|| domain.to_lowercase());
            format!("{}@{domain}", local.to_lowercase())
        }
        None => text.to_lowercase(),
    }
}

fn trimmed(text: &str) -> &str {
    let text = text.strip_prefix(' ').unwrap_or(text);
    text.strip_suffix(' ').unwrap_or(text)
}

/// A domain as DNS has it, in lower case; none if it has none.
fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        match url::Host::parse(domain).ok()? {
            url::Host::Domain(ascii) => ascii,
            _ => return None,
        }
    };
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (ascii.len() <= 253 && ascii.split('.').all(label_ok)).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        for good in [
            "sarah@example.com",
            "a+b.c_d@sub.example.co.uk",
            "o'brien@example.com",
            "root@localhost",
            "josé@exämple.de",
            "x@123.com",
            " sarah@example.com ",
            "x@xn--exmple-cua.de",
        ] {
            assert!(is_email(good), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "@",
            "a@",
            "@b.c",
            "a",
            "a@b@c.d",
            "a b@c.d",
            "a@b c.d",
            "a\n@b.c",
            "a@b.c\r\nBcc: x",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.d",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a@-b.c",
            "a@b-.c",
            "<a@b.c>",
            "\"a\"@b.c",
            "a@[10.0.0.1]",
            "a\u{2028}@b.c",
            "a@b_c.d",
            "  two@spaces.example",
            "\u{200b}sarah@example.com",
            "sarah\u{ad}@example.com",
            "sarah\u{e000}@example.com",
            "sarah\u{3164}@example.com",
            "sarah\u{202e}@example.com",
            "sarah@exam\u{200d}ple.com",
            "sarah\u{378}@example.com",
            "\u{301}sarah@example.com",
            "sarah@ex\u{e000}mple.de",
            &format!("a@{}.de", "ä".repeat(60)),
            &long,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_same_address_is_found_however_it_is_written() {
        for (left, right) in [
            ("Sarah@Example.COM", "sarah@example.com"),
            (" sarah@example.com", "sarah@example.com"),
            ("sarah@example.com ", "sarah@example.com"),
            ("JOSÉ@EXÄMPLE.de", "josé@xn--exmple-cua.de"),
        ] {
            assert_eq!(compared(left), compared(right), "{left}");
        }
        assert_ne!(compared("sarah@example.com"), compared("sara@example.com"));
    }
}
