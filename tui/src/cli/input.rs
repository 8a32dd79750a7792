//! Reads what operators type: JSON from the command line or a file, spans, secrets, confirmations.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use crossterm::{
    event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    terminal::{disable_raw_mode, enable_raw_mode},
};
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use leadline_proto::v1;
use serde_json::value::RawValue;

use super::CliError;
use crate::text::display_text;

/// JSON given as text or as `@FILE`. It is checked here, so that the error can name the option.
pub(crate) fn json(option: &str, given: &str) -> Result<String, CliError> {
    let text = match given.strip_prefix('@') {
        Some(file) => {
            fs::read_to_string(file).map_err(CliError::io(format!("{option}: cannot read {file}")))?
        }
        None => given.to_owned(),
    };
    let object = serde_json::from_str::<&RawValue>(&text).map_err(|error| {
        CliError::Usage(format!("{option} is no JSON ({error}); give an object, or @FILE to read one"))
    })?;
    if !object.get().starts_with('{') {
        return Err(CliError::Usage(format!(
            "{option} must be a JSON object such as {{\"url\": \"https://…\"}}"
        )));
    }
    Ok(text)
}

/// [`json`], where nothing given is nothing said.
pub(crate) fn optional_json(option: &str, given: Option<&str>) -> Result<Option<String>, CliError> {
    given.map(|given| json(option, given)).transpose()
}

/// Why a text is not a span that commands take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpanError {
    #[error("give a span such as 90s, 24h or 7d")]
    NoSpan,
    #[error("give it in days, hours, minutes or seconds")]
    OtherUnit,
    #[error("give whole seconds, not negative")]
    NotWhole,
    #[error("give at most 49710d")]
    TooLong,
}

/// A span such as `90s`, `24h` or `7d`, in seconds.
pub(crate) fn seconds(text: &str) -> Result<u32, SpanError> {
    let span: Span = text.parse().map_err(|_| SpanError::NoSpan)?;
    let relative = (Unit::Second, SpanRelativeTo::days_are_24_hours());
    let seconds = span.total(relative).map_err(|_| SpanError::OtherUnit)?;
    if seconds < 0.0 || seconds.fract() != 0.0 {
        return Err(SpanError::NotWhole);
    }
    format!("{seconds:.0}").parse().map_err(|_| SpanError::TooLong)
}

/// A time as the API takes it.
pub(crate) fn proto_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// What is between two times, as the API takes it; none where neither is named.
pub(crate) fn window(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Option<v1::Window>, CliError> {
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        return Err(CliError::Usage(
            "--until lies before --since, so nothing is between them; a time of day is the last one"
                .to_owned(),
        ));
    }
    let is_named = since.is_some() || until.is_some();
    Ok(is_named.then(|| v1::Window { since: since.map(proto_time), until: until.map(proto_time) }))
}

/// Reads one of an enum's words; whoever writes another is told them all.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|value| word(*value)))
        .try_map(move |chosen| all.iter().copied().find(|value| word(*value) == chosen).ok_or(chosen))
}

/// A secret from stdin, less one line end. A person is asked for it and does not see it.
pub(crate) fn secret() -> Result<String, CliError> {
    let secret = if io::stdin().is_terminal() { hidden_line("Signing secret: ")? } else { piped_secret()? };
    if secret.is_empty() {
        return Err(CliError::Usage("--secret-stdin found nothing on stdin; pipe the secret in".to_owned()));
    }
    Ok(secret)
}

fn piped_secret() -> Result<String, CliError> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(CliError::io("cannot read the secret from stdin"))?;
    Ok(without_line_end(&text).to_owned())
}

/// One JSON object from stdin, to log in with.
pub(crate) fn piped_credentials() -> Result<String, CliError> {
    if io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "pipe the credentials in as one JSON object, or create it without and use `integration set-credentials`"
                .to_owned(),
        ));
    }
    let text = piped_secret()?;
    let object =
        serde_json::from_str::<&RawValue>(&text).map_err(|_| ()).map(|raw| raw.get().starts_with('{'));
    if object == Ok(true) {
        Ok(text)
    } else {
        // What was piped in may be a credential: the error says nothing of it.
        Err(CliError::Usage("stdin must be one JSON object, as {\"token\": \"…\"}".to_owned()))
    }
}

/// Asks for a credential that nobody else should see. Empty means none.
pub(crate) fn credential(name: &str, help: &str) -> Result<String, CliError> {
    hidden_line(&format!("{} ({}): ", display_text(name), display_text(help)))
}

/// Whether somebody can be asked.
pub(crate) fn is_asked() -> bool {
    io::stdin().is_terminal()
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn hidden_line(prompt: &str) -> Result<String, CliError> {
    eprint!("{prompt}");
    enable_raw_mode().map_err(CliError::io("cannot hide what you type"))?;
    let line = read_keys();
    disable_raw_mode().map_err(CliError::io("cannot restore the terminal"))?;
    eprintln!();
    line
}

fn read_keys() -> Result<String, CliError> {
    let mut line = String::new();
    loop {
        let event = event::read().map_err(CliError::io("cannot read the terminal"))?;
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { continue };
        let control = modifiers.contains(KeyModifiers::CONTROL);
        match code {
            // What was typed before the terminal was raw ends in a line feed, which reads as Ctrl-J.
            KeyCode::Enter => return Ok(line),
            KeyCode::Char('j') if control => return Ok(line),
            KeyCode::Char('c' | 'd') if control => {
                return Err(CliError::Failed("given up; nothing was changed".to_owned()));
            }
            KeyCode::Char(c) if !control => line.push(c),
            KeyCode::Backspace => {
                line.pop();
            }
            _ => {}
        }
    }
}

/// Asks a person to type a name before something cannot be undone; refuses where nobody can be asked.
pub(crate) fn confirm(question: &str, name: &str) -> Result<(), CliError> {
    confirm_by(question, "its name", name)
}

/// The same, where it is something else than a name that is typed.
pub(crate) fn confirm_by(question: &str, what: &str, expected: &str) -> Result<(), CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::Usage(format!("{question} Add --yes to do so")));
    }
    eprint!("{} Type {what} to go on: ", display_text(question));
    io::stderr().flush().map_err(CliError::io("cannot ask"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(CliError::io("cannot read the answer"))?;
    if without_line_end(&answer) == expected {
        Ok(())
    } else {
        Err(CliError::Failed(format!("that is not {what}; nothing was changed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_checked_before_it_is_sent() {
        for (given, expected) in [
            (r#"{"url": "x"}"#, Ok(r#"{"url": "x"}"#)),
            (
                "{",
                Err(
                    "--config is no JSON (EOF while parsing an object at line 1 column 1); give an object, or @FILE to \
                     read one",
                ),
            ),
            ("[]", Err("--config must be a JSON object such as {\"url\": \"https://…\"}")),
            ("@/no/such/file", Err("--config: cannot read /no/such/file")),
        ] {
            match (json("--config", given), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, _) => panic!("{given}: {got:?}"),
            }
        }
    }

    #[test]
    fn spans_are_whole_seconds() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
            ("1h 30m", Some(5_400)),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for (bad, reported) in [
            ("", "give a span such as 90s, 24h or 7d"),
            ("soon", "give a span such as 90s, 24h or 7d"),
            ("1mo", "give it in days, hours, minutes or seconds"),
            ("-1h", "give whole seconds, not negative"),
            ("1.5s", "give whole seconds, not negative"),
            ("49711d", "give at most 49710d"),
            ("99999999d", "give a span such as 90s, 24h or 7d"),
        ] {
            assert_eq!(seconds(bad).unwrap_err().to_string(), reported, "{bad}");
        }
        assert_eq!(seconds("49710d"), Ok(49_710 * 86_400));
    }

    #[test]
    fn a_window_ends_behind_its_beginning() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let seconds = |since, until| {
            let window = window(since, until).unwrap();
            window.map(|it| [it.since, it.until].map(|end| end.map(|end| end.seconds)))
        };
        assert_eq!(seconds(None, None), None);
        assert_eq!(seconds(at(5), None), Some([Some(5), None]));
        assert_eq!(seconds(at(5), at(5)), Some([Some(5), Some(5)]));
        let error = window(at(5), at(4)).unwrap_err();
        assert_eq!(
            (error.exit_code(), &*error.to_string()),
            (2, "--until lies before --since, so nothing is between them; a time of day is the last one")
        );
    }

    #[test]
    fn a_secret_loses_one_line_end_only() {
        for (text, expected) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s ", " s ")] {
            assert_eq!(without_line_end(text), expected);
        }
    }
}
