//! Every text that refuses stands whole in a test: what the sources say is collected and looked for in the tests.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Lit;

/// Where refusals are made.
const PLACES: [&str; 17] = [
    "daemon/src/config.rs",
    "daemon/src/config/",
    // What connectors refuse on save, beside what their configurations say.
    "daemon/connectors/src/email/message.rs",
    "daemon/connectors/src/hook_url.rs",
    "daemon/connectors/src/rest/auth.rs",
    "daemon/connectors/src/rest/settings.rs",
    "daemon/connectors/src/webhook/settings.rs",
    "daemon/connectors/src/webhook/url.rs",
    "daemon/src/control/",
    "daemon/domain/src/",
    "daemon/src/intake/",
    "daemon/src/postgres/",
    "daemon/src/secrets/",
    "daemon/src/store/",
    "tui/src/cli/",
    "tui/client/src/",
    "tui/src/config.rs",
];

/// Whether refusals are made in a file: every connector's configuration makes some. What pushes and probes come to is told
/// by their attempts.
fn is_place(path: &str) -> bool {
    let connector =
        path.strip_prefix("daemon/connectors/src/").and_then(|path| path.strip_suffix("/config.rs"));
    connector.is_some() || PLACES.iter().any(|place| path.starts_with(place))
}

/// What no test can bring about, or refuses nothing: where it stands, how it begins, and why.
const EXCEPTIONS: [(&str, &str, &str); 48] = [
    ("daemon/src/control/job.rs", "job {id} goes no", "says what a job waits for"),
    ("daemon/domain/src/delivery/reason.rs", "", "reasons, not refusals"),
    ("daemon/domain/src/cause.rs", "", "patterns of what differs from lead to lead"),
    ("daemon/domain/src/cause/advice.rs", "", "says what to do about a cause"),
    ("daemon/domain/src/evidence.rs", "", "parts of a document"),
    ("daemon/domain/src/flow.rs", "a lead with every", "which lead a warning is about"),
    ("daemon/domain/src/flow/error.rs", "the condition cannot", "a parser that panics"),
    ("daemon/domain/src/flow/compile.rs", "something is", "the parser's words, replaced"),
    ("daemon/domain/src/flow/compile.rs", "token recognition", "the parser's words, replaced"),
    ("daemon/domain/src/flow/reader.rs", "from here on", "deeper than the parser goes"),
    ("daemon/domain/src/flow/reader.rs", "something is", "what the parser does not make"),
    ("daemon/domain/src/flow/reader.rs", "this macro", "what the parser does not make"),
    ("daemon/domain/src/notice.rs", "", "tells what happened"),
    ("daemon/domain/src/template/error.rs", "a {0} cannot", "values that expressions do not make"),
    ("daemon/domain/src/template/error.rs", "the number is not", "values that expressions do not make"),
    ("daemon/domain/src/told.rs", "", "names of fields, and what people read of a lead"),
    ("daemon/domain/src/why.rs", "", "tells of a delivery; its own tests have its sentences"),
    ("daemon/src/control/attempt.rs", "no attempt finished in 60 s", "it takes a minute"),
    ("daemon/src/control/convert.rs", "", "says why a breaker is open; shown by tests of the breaker"),
    ("tui/src/cli/lead.rs", "This removes the", "the question itself"),
    ("daemon/src/control/flow.rs", "the stored event", "events are JSON since they were taken in"),
    (
        "daemon/src/control/import.rs",
        "the company is being changed",
        "an operator who changes a company twenty times while a line is read",
    ),
    ("daemon/src/control/mod.rs", "", "the system takes the socket away"),
    ("daemon/src/control/preview.rs", "", "a stand-in for a token, and a connector that panics: none does"),
    ("daemon/src/intake/routes.rs", "the request failed inside", "a handler that panics: none does"),
    (
        "daemon/src/store/operator/command.rs",
        "request id {} has just expired",
        "24 hours end between two statements",
    ),
    ("daemon/src/postgres/embedded/watchdog.rs", "", "a server that outlives its stop"),
    ("tui/src/cli/credentials.rs", "connector {} needs no credentials", "asked on a terminal alone"),
    ("tui/src/cli/import/source.rs", "cannot read on", "a disk that fails within a file"),
    ("tui/src/cli/input.rs", "cannot ", "a terminal that fails"),
    ("tui/src/cli/input.rs", "given up", "asked on a terminal alone"),
    ("tui/src/cli/input.rs", "pipe the credentials in", "asked on a terminal alone"),
    ("tui/src/cli/input.rs", "{} Type ", "the question itself"),
    ("tui/src/cli/input.rs", "that is not {what}", "asked on a terminal alone"),
    ("tui/src/cli/output.rs", "", "values that are always JSON"),
    ("tui/src/cli/table.rs", "Left out", "says which columns had no room"),
    ("tui/src/cli/read_on.rs", "signals cannot", "a system without signals"),
    ("tui/src/cli/wait.rs", "signals cannot", "a system without signals"),
    ("tui/src/cli/wait.rs", "the push is not finished", "it takes a minute"),
    (
        "daemon/src/control/ask_again.rs",
        "flows could not",
        "an evaluation of sixty seconds, or one that panics",
    ),
    (
        "daemon/src/control/flow.rs",
        "the condition could not",
        "an evaluation of sixty seconds, or one that panics",
    ),
    ("daemon/src/postgres/embedded/dump.rs", "it ended with", "a program that fails without a word"),
    ("daemon/src/postgres/embedded/launch.rs", "it ended with", "a program that fails without a word"),
    ("daemon/src/postgres/embedded/launch.rs", "pg_ctl ended with", "a server that fails without a word"),
    ("tui/src/config.rs", "there is no directory for", "a user without a home"),
    ("tui/src/cli/import.rs", "{} more lines have", "says how many problems are not told"),
    ("tui/src/cli/mod.rs", "writing the manual", "what the program was at when a disk failed"),
    ("tui/src/cli/wait.rs", "{delivered} of {total}", "says how far it is"),
];

/// Macros and calls whose texts are for logs, for the database, for whoever broke the code, or told beside an answer.
const SILENT: [&str; 17] = [
    "assert",
    "debug",
    "describe_counter",
    "describe_gauge",
    "describe_histogram",
    "error",
    "expect",
    "info",
    "note",
    "query",
    "query_as",
    "query_file",
    "query_file_as",
    "query_file_scalar",
    "query_scalar",
    "unreachable",
    "warn",
];

/// What tells a statement of SQL from a sentence.
const SQL: [&str; 13] = [
    "::timestamptz[])",
    "CASE",
    "SET",
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "JOIN",
    "ORDER",
    "GROUP",
    "LIMIT",
    "UPDATE",
    "d.integration_id,",
];

/// The texts of a file with their lines: what it says, and what its tests say.
#[derive(Default)]
struct Texts {
    said: Vec<(usize, String)>,
    tested: Vec<String>,
}

impl Texts {
    fn of(source: &str, is_test: bool) -> Self {
        let mut texts = Self::default();
        texts.read(source.parse().unwrap(), is_test);
        texts
    }

    fn read(&mut self, stream: TokenStream, is_test: bool) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at..] {
                [TokenTree::Punct(hash), TokenTree::Group(attribute), item @ ..] if hash.as_char() == '#' => {
                    2 + self.attribute(attribute.stream(), item, is_test)
                }
                // `#![…]`, `//!`, and what is silent.
                [TokenTree::Punct(hash), _, TokenTree::Group(_), ..] if hash.as_char() == '#' => 3,
                [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Group(_), ..]
                    if !is_test && SILENT.contains(&&*name.to_string()) =>
                {
                    3
                }
                [TokenTree::Ident(name), TokenTree::Group(_), ..]
                    if !is_test && SILENT.contains(&&*name.to_string()) =>
                {
                    2
                }
                rest @ [TokenTree::Ident(name), ..] if (name == "const" || name == "static") && !is_test => {
                    table(rest)
                }
                // What a connector does, for its help.
                [_, TokenTree::Ident(name), TokenTree::Group(_), ..] if name == "summary" && !is_test => 10,
                [TokenTree::Group(group), ..] => {
                    self.read(group.stream(), is_test);
                    1
                }
                [TokenTree::Literal(literal), ..] => {
                    match Lit::new(literal.clone()) {
                        Lit::Str(text) if is_test => self.tested.push(text.value()),
                        Lit::Str(text) => self.said.push((literal.span().start().line, text.value())),
                        _ => {}
                    }
                    1
                }
                _ => 1,
            };
        }
    }

    /// An attribute and what it makes of the item behind it. The answer is how much of that has been read.
    fn attribute(&mut self, attribute: TokenStream, item: &[TokenTree], is_test: bool) -> usize {
        let words: Vec<_> = attribute.into_iter().collect();
        if let [TokenTree::Ident(name), TokenTree::Group(told)] = &words[..] {
            if name == "error" {
                self.read(told.stream(), is_test);
            }
            if name != "cfg" || told.stream().to_string() != "test" {
                return 0;
            }
        } else {
            return 0;
        }
        let ends = |token: &TokenTree| match token {
            TokenTree::Punct(mark) => mark.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        let end = item.iter().position(ends).unwrap() + 1;
        self.read(item[..end].iter().cloned().collect(), true);
        end
    }
}

/// How much of a constant to leave out: all of a table of names or of help, nothing of a text.
fn table(rest: &[TokenTree]) -> usize {
    let find = |mark| rest.iter().position(|it| matches!(it, TokenTree::Punct(it) if it.as_char() == mark));
    match (find(':'), find('='), find(';')) {
        (Some(2), Some(equals), Some(end)) if rest[equals - 1].to_string() != "str" => end,
        _ => 1,
    }
}

/// Every source with its path from the root.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["daemon", "tui", "tests"].map(|folder| root.join(folder)).into();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The files of the modules that their parents have for tests alone.
fn test_modules(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (path, text) in sources {
        let folder = path.strip_suffix("/mod.rs").or(path.strip_suffix("/lib.rs"));
        let folder = folder.unwrap_or_else(|| path.strip_suffix(".rs").unwrap());
        for (_, item) in text.split("#[cfg(test)]\n").skip(1).filter_map(|item| item.split_once("mod ")) {
            let name = item.split([';', ' ']).next().unwrap();
            files.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
        }
    }
    files
}

/// Whether a text is a sentence for people. A refusal is one line; what has more is help.
fn is_sentence(text: &str) -> bool {
    let words = || text.split_whitespace();
    words().filter(|word| word.starts_with(char::is_lowercase)).count() > 2
        && !text.contains('\n')
        && !words().any(|word| SQL.contains(&word))
}

/// What stands between the placeholders. Braces are left out, be they escaped or not.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(&rest[..at]);
        let brace = &rest[at..];
        rest = match brace.find('}') {
            _ if brace.starts_with("{{") || brace.starts_with("}}") => &brace[2..],
            Some(end) => &brace[end + 1..],
            None => &brace[1..],
        };
    }
    pieces.push(rest);
    pieces
}

/// Whether a test has this text, whatever stands in the places of its placeholders.
fn quotes(tested: &str, text: &str) -> bool {
    let mut rest = Some(tested);
    for piece in pieces(text) {
        rest = rest.and_then(|rest| rest.split_once(piece)).map(|(_, behind)| behind);
    }
    rest.is_some()
}

/// What the tests say, by each word: most texts are asked about in the few that have their longest word.
struct Quotable<'a> {
    all: BTreeSet<&'a String>,
    by_word: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Quotable<'a> {
    fn of(all: BTreeSet<&'a String>) -> Self {
        let mut by_word: HashMap<_, Vec<_>> = HashMap::new();
        for tested in &all {
            for word in tested.split(' ').collect::<BTreeSet<_>>() {
                by_word.entry(word).or_default().push(tested.as_str());
            }
        }
        Self { all, by_word }
    }

    /// Whether a test has this text. A word with a blank on either side is whole in every text that has it.
    fn has(&self, text: &str) -> bool {
        let words = pieces(text).into_iter().flat_map(|piece| {
            let words: Vec<_> = piece.split(' ').collect();
            words.get(1..words.len() - 1).unwrap_or_default().to_vec()
        });
        match words.max_by_key(|word| word.len()) {
            Some(word) => self.by_word.get(word).into_iter().flatten().any(|tested| quotes(tested, text)),
            None => self.all.iter().any(|tested| quotes(tested, text)),
        }
    }
}

#[test]
fn every_refusal_stands_whole_in_a_test() {
    let sources = sources();
    let test_modules = test_modules(&sources);
    let is_test =
        |path: &str| path.starts_with("tests/") || path.contains("/tests/") || test_modules.contains(path);
    let texts: Vec<_> = sources.iter().map(|(path, text)| (path, Texts::of(text, is_test(path)))).collect();
    let tested: BTreeSet<_> = texts.iter().flat_map(|(_, texts)| &texts.tested).collect();
    let tested = Quotable::of(tested);
    let mut unused: BTreeSet<_> = EXCEPTIONS.iter().collect();
    let (mut count, mut findings) = (0, Vec::new());
    for (path, texts) in texts.iter().filter(|(path, _)| is_place(path)) {
        for (line, text) in texts.said.iter().filter(|(_, text)| is_sentence(text)) {
            count += 1;
            match EXCEPTIONS.iter().find(|it| *path == it.0 && text.starts_with(it.1)) {
                Some(excuse) => drop(unused.remove(excuse)),
                None if tested.has(text) => {}
                None => findings.push(format!("{path}:{line}: {text}")),
            }
        }
    }
    assert!(count > 400, "the sources are not read right: {count} texts");
    assert!(
        findings.is_empty(),
        "{} of {count} texts in no test:\n  {}",
        findings.len(),
        findings.join("\n  ")
    );
    assert!(unused.is_empty(), "take these exceptions off the list: {unused:?}");
}

#[test]
fn a_text_of_a_source_is_told_from_a_text_of_a_test() {
    let source = r##"
        //! A comment.
        const HELP: [&str; 1] = ["left out"];
        const WAY: &str = "kept";
        #[error("no {0}: \
            try again")]
        struct A;
        fn a() { warn!("left out"); b("said").expect("left out"); format!(r#"give "{x}""#) }
        #[cfg(test)]
        mod tests { #[test] fn t() { assert_eq!(a(), "tested"); } }
        "##;
    let texts = Texts::of(source, false);
    let said: Vec<_> = texts.said.iter().map(|(line, text)| (*line, &**text)).collect();
    assert_eq!(said, [(4, "kept"), (5, "no {0}: try again"), (8, "said"), (8, "give \"{x}\"")]);
    assert_eq!(texts.tested, ["tested"]);
    let text = "{field}: give {{\"a\": 1}} or {0:?}";
    assert!(quotes("config: give {\"a\": 1} or 7", text));
    for other in ["config: give {\"a\": 1} and 7", " or 7: give \"a\": 1", ""] {
        assert!(!quotes(other, text), "{other}");
    }
    let parent =
        ("a/b.rs".to_owned(), "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod x {".to_owned());
    assert!(test_modules(&[parent]).contains("a/b/tests.rs"));
}
