//! Where the palette can jump to, what its line says of each place, and what somebody means who types an id.

use jiff::tz::TimeZone;

use super::{MenuItem, Pick};
use crate::console::data::{Attempt, Cause, Delivery, Flow, Job, Lead};
use crate::console::widgets::time;

/// So many things of a kind does a screen tell of at most: the palette is for what one sees, a filter for the rest.
pub const TOLD: usize = 200;
/// What is said behind an id that nobody told of.
const OPENS: &str = ": open it";

/// Where one can jump to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    Integration(String),
    Company(i64),
    /// Look at one company only, or at all again.
    Narrow(Option<(i64, String)>),
    Find(String),
    /// Another daemon.
    Profile(String),
    /// A company of 0 is found by the uuid.
    Lead {
        uuid: String,
        company: i64,
        person: String,
    },
    Cause(String),
    Job(String),
    /// Its lead, on the line of it.
    Delivery(String),
    Attempt(String),
    /// The page of its company, to edit it or switch it.
    Flow(String),
}

/// A line of the palette that jumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JumpTarget {
    pub label: String,
    pub jump: Jump,
}

impl JumpTarget {
    fn new(label: String, jump: Jump) -> Self {
        Self { label, jump }
    }

    pub fn lead(it: &Lead) -> Self {
        let jump =
            Jump::Lead { uuid: it.uuid.clone(), company: it.company_id, person: it.person().to_owned() };
        Self::new(format!("lead {}  {}, {}", it.uuid, it.person(), it.company), jump)
    }

    /// A cause of failures.
    pub fn cause(it: &Cause) -> Self {
        Self::new(format!("cause {}  {}", it.id, it.text), Jump::Cause(it.id.clone()))
    }

    pub fn job(it: &Job, zone: &TimeZone) -> Self {
        let about = it.about.sentence(|at| time::stamp(at, zone));
        Self::new(format!("job {}  {about}, {}", it.id, it.state), Jump::Job(it.id.clone()))
    }

    pub fn delivery(it: &Delivery) -> Self {
        let label = format!("delivery {}  {} to {}, {}", it.id, it.person(), it.integration, it.state.word());
        Self::new(label, Jump::Delivery(it.id.clone()))
    }

    /// An attempt; a test is about nobody.
    pub fn attempt(it: &Attempt) -> Self {
        let who = if it.person().is_empty() { &it.trigger } else { it.person() };
        let label = format!("attempt {}  {who} to {}, {}", it.id, it.integration, it.state.word());
        Self::new(label, Jump::Attempt(it.id.clone()))
    }

    /// A flow, which people know by its name.
    pub fn flow(it: &Flow) -> Self {
        Self::new(format!("flow {}  {}", it.name, it.when), Jump::Flow(it.id.clone()))
    }

    /// What a word with an id behind it means, whether anybody told of it or not; `lead TEXT` finds a person besides.
    pub fn typed(text: &str) -> Vec<Self> {
        let Some((word, rest)) = text.trim().split_once(char::is_whitespace) else { return Vec::new() };
        let (word, rest) = (word.to_lowercase(), rest.trim());
        if rest.is_empty() {
            return Vec::new();
        }
        let opened = by_id(&word, rest).map(|jump| Self::new(format!("{word} {rest}{OPENS}"), jump));
        let found = matches!(&*word, "lead" | "find").then(|| {
            let sought = rest.to_lowercase();
            Self::new(format!("lead {sought}: find it"), Jump::Find(sought))
        });
        opened.into_iter().chain(found).collect()
    }

    /// The line.
    pub fn item(self) -> MenuItem {
        MenuItem { key: String::new(), label: self.label, pick: Pick::Jump(self.jump), reason: None }
    }
}

/// What Tab types for a line.
pub fn completed(item: &MenuItem) -> String {
    match &item.pick {
        Pick::Jump(Jump::Find(text)) => format!("lead {text}"),
        _ => item.label.strip_suffix(OPENS).unwrap_or(&item.label).to_owned(),
    }
}

/// The thing with this id; none if it is no id of such a thing.
fn by_id(word: &str, id: &str) -> Option<Jump> {
    let length = if word == "cause" { 12 } else { 26 };
    if id.len() != length || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    // As the daemon writes them; the uuid of a lead is as its sender wrote it.
    let upper = id.to_ascii_uppercase();
    Some(match word {
        "lead" => Jump::Lead { uuid: id.to_owned(), company: 0, person: String::new() },
        "cause" => Jump::Cause(id.to_ascii_lowercase()),
        "job" => Jump::Job(upper),
        "delivery" => Jump::Delivery(upper),
        "attempt" => Jump::Attempt(upper),
        "flow" => Jump::Flow(upper),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;
    use leadline_proto::v1;

    use super::*;
    use crate::console::data::{Answer, Query};
    use crate::console::fixtures;
    use crate::jobs::JobSummary;

    #[test]
    fn a_job_is_proposed_with_times_as_its_list_tells_them() {
        let since = Some(prost_types::Timestamp { seconds: 1_780_581_600, nanos: 0 });
        let filter = v1::JobFilter { died: Some(v1::Window { since, until: None }), ..Default::default() };
        let about = JobSummary::of(&v1::Job { filter: Some(filter), ..Default::default() });
        let answer = fixtures::answer(&Query::Jobs { company: None, after: String::new() });
        let Answer::Jobs { rows, .. } = &answer else { panic!("{answer:?}") };
        let place = JumpTarget::job(&Job { about, ..rows[0].clone() }, &TimeZone::fixed(offset(1)));
        assert!(place.label.contains("everything died since 06-04 15:00:00"), "{}", place.label);
    }

    #[test]
    fn an_id_behind_its_word_is_opened() {
        let id = "01jd2q8z5n3v7k9m4t6x8w1y2p";
        let upper = id.to_uppercase();
        for (text, expected) in [
            (format!("job {id}"), vec![Jump::Job(upper.clone())]),
            (format!(" Delivery  {id} "), vec![Jump::Delivery(upper.clone())]),
            (format!("attempt {id}"), vec![Jump::Attempt(upper.clone())]),
            (format!("flow {id}"), vec![Jump::Flow(upper)]),
            ("cause 6XQ0M2K4V9TZ".to_owned(), vec![Jump::Cause("6xq0m2k4v9tz".to_owned())]),
            (
                format!("lead {id}"),
                vec![
                    Jump::Lead { uuid: id.to_owned(), company: 0, person: String::new() },
                    Jump::Find(id.to_owned()),
                ],
            ),
            ("find Sarah P".to_owned(), vec![Jump::Find("sarah p".to_owned())]),
            ("lead ".to_owned(), Vec::new()),
            ("job 01jd".to_owned(), Vec::new()),
            (format!("cause {id}"), Vec::new()),
            (format!("int {id}"), Vec::new()),
            (id.to_owned(), Vec::new()),
        ] {
            let found: Vec<Jump> = JumpTarget::typed(&text).into_iter().map(|place| place.jump).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
