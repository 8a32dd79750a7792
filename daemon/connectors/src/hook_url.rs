//! URLs that are credentials: whoever knows one can post to it, so it is checked, called and shown by its own rules.

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::config::{self, Common, Problem};
use leadline_domain::address::EgressPolicy;

/// A path shorter than this may be guessed from its end, so none of it is shown.
const SHOWN_FROM: usize = 20;

/// What is wrong with a URL that is a credential. `is_ours` says whether it is one of the product's; it is not asked
/// about addresses that the daemon's configuration names, where sandboxes and tests are.
pub(super) fn check(
    key: &str,
    source: Option<&SecretString>,
    egress: &EgressPolicy,
    is_ours: fn(&Url) -> Result<(), Problem>,
) -> Vec<Problem> {
    let Some(source) = source else { return Vec::new() };
    let checked = parse(source).and_then(|url| {
        if !is_exception(&url, egress) {
            is_ours(&url)?;
        }
        egress.check(&url).map_err(|problem| Problem::new(problem.to_string()))
    });
    checked.err().map(|problem| Problem::at(key, format!("{key}: {problem}"))).into_iter().collect()
}

/// The URL of a credential.
pub(super) fn read(key: &str, source: &SecretString) -> Result<Url, Problem> {
    parse(source).map_err(|problem| Problem::of(key, problem))
}

/// The same path and query at the base URL of a configuration, if it has one.
pub(super) fn rebased(url: Url, common: &Common) -> Url {
    let Some(base) = common.base() else { return url };
    let mut base = base.clone();
    base.set_path(url.path());
    base.set_query(url.query());
    base
}

/// Where it leads, and no more of its path than tells two apart.
pub(super) fn shown(url: &Url) -> String {
    let path = url.path();
    let tail: String = if path.len() < SHOWN_FROM {
        String::new()
    } else {
        path.trim_end_matches('/').chars().skip(path.trim_end_matches('/').chars().count() - 4).collect()
    };
    format!("{}/…{tail}", url.origin().ascii_serialization())
}

/// A text without what it quotes of the URL.
pub(super) fn scrubbed(error: &str, url: &Url) -> String {
    let mut clean = error.replace(url.as_str(), "…");
    if url.path().len() > 1 {
        clean = clean.replace(url.path(), "…");
    }
    for segment in url.path_segments().into_iter().flatten().filter(|segment| segment.len() >= 6) {
        clean = clean.replace(segment, "…");
    }
    clean
}

fn parse(source: &SecretString) -> Result<Url, Problem> {
    let source = source.expose_secret();
    if source.contains("{{") {
        return Err(Problem::new("takes no template"));
    }
    config::url(source)
}

fn is_exception(url: &Url, egress: &EgressPolicy) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => egress.is_exception(ip.into()),
        Some(Host::Ipv6(ip)) => egress.is_exception(ip.into()),
        Some(Host::Domain(name)) => {
            (name == "localhost" || name.ends_with(".localhost")) && egress.check(url).is_ok()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::read_all;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn as_much_is_shown_as_tells_two_apart() {
        for (source, expected) in [
            ("https://hooks.zapier.com/hooks/catch/123456/abcdefg/", "https://hooks.zapier.com/…defg"),
            ("https://n8n.example.com:5678/webhook/leads", "https://n8n.example.com:5678/…"),
            (
                "https://hook.eu2.make.com/abcdefghijklmnopqrstuvwxyz?key=secret",
                "https://hook.eu2.make.com/…wxyz",
            ),
        ] {
            assert_eq!(shown(&url(source)), expected);
        }
    }

    #[test]
    fn errors_lose_what_they_quote() {
        let hook = url("https://n8n.example.com/webhook/secret-path");
        let error = "n8n 404: The requested webhook \"POST secret-path\" at /webhook/secret-path";
        assert!(!scrubbed(error, &hook).contains("secret-path"));
        assert_eq!(scrubbed("n8n 500: out of order", &hook), "n8n 500: out of order");
    }

    #[test]
    fn a_sandbox_is_no_product_but_must_be_allowed() {
        let local = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let never = |_: &Url| Err(Problem::new("is not ours"));
        for (source, egress, expected) in [
            ("http://127.0.0.1:9000/x", &local, None),
            ("http://localhost:9000/x", &local, None),
            ("http://10.0.0.1/x", &local, Some("hook_url: is not ours")),
            ("https://example.com/x", &local, Some("hook_url: is not ours")),
            ("https://example.com/{{ lead.uuid }}", &local, Some("hook_url: takes no template")),
            ("nonsense", &local, Some("hook_url: relative URL without a base")),
            ("http://127.0.0.1:9000/x", &EgressPolicy::default(), Some("hook_url: is not ours")),
        ] {
            let problems = check("hook_url", Some(&source.into()), egress, never);
            assert_eq!(problems.first().map(|problem| problem.text.as_str()), expected, "{source}");
        }
    }

    #[test]
    fn a_base_url_keeps_path_and_query() {
        let hook = url("https://hooks.slack.com/services/T/B/X?a=b");
        let (base, _) = read_all::<Common>(&json!({"base_url": "http://127.0.0.1:9000"}));
        assert_eq!(rebased(hook.clone(), &base).as_str(), "http://127.0.0.1:9000/services/T/B/X?a=b");
        assert_eq!(rebased(hook.clone(), &Common::default()), hook);
    }
}
