//! What happened to a lead, as a document for a ticket: as JSON, or as Markdown that whatever it quotes cannot break.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::{cause::Values, privacy, redact};

/// What happened to a lead.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    pub lead: String,
    pub company_id: i64,
    pub company: String,
    pub state: String,
    pub received_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub name: String,
    pub email: String,
    pub phone: String,
    /// Whether the person's own values are shown by their form only.
    pub masked: bool,
    /// When it came in and changed, oldest first.
    pub events: Vec<EventEvidence>,
    /// Oldest first.
    pub deliveries: Vec<DeliveryEvidence>,
}

/// A lead that came in or changed.
#[derive(Clone, Debug, Serialize)]
pub struct EventEvidence {
    pub event: String,
    pub at: Timestamp,
}

/// What became of one event at one integration.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryEvidence {
    pub id: String,
    pub integration_id: String,
    pub integration: String,
    pub connector: String,
    pub event: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// What the target calls the lead's things.
    pub records: Vec<RecordEvidence>,
    /// Oldest first.
    pub attempts: Vec<AttemptEvidence>,
}

/// A thing at the target.
#[derive(Clone, Debug, Serialize)]
pub struct RecordEvidence {
    pub kind: String,
    pub id: String,
    /// Where people see it, if that is known.
    pub url: Option<String>,
}

/// One try.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptEvidence {
    pub id: String,
    pub number: i32,
    pub trigger: String,
    pub state: String,
    pub operator: Option<String>,
    pub started_at: Timestamp,
    pub duration_ms: Option<i32>,
    pub failure_class: Option<String>,
    pub error: Option<String>,
    pub method: Option<String>,
    pub url: Option<String>,
    pub status_code: Option<i16>,
    pub response_body: Option<String>,
    /// Each call as it was made.
    pub calls: Vec<CallEvidence>,
}

/// One call of an attempt.
#[derive(Clone, Debug, Serialize)]
pub struct CallEvidence {
    pub method: String,
    pub url: String,
    pub status: Option<u16>,
    pub started_at: Timestamp,
    pub duration_ms: u32,
    /// None if it held credentials, or is told of an earlier attempt.
    pub request_body: Option<String>,
    /// The number of the attempt that sent this body first.
    pub sent_by_attempt: Option<i32>,
    pub response_body: Option<String>,
    /// How many bytes were sent, and came back, where less is kept.
    pub request_bytes: Option<u64>,
    pub response_bytes: Option<u64>,
    /// Why nothing came back.
    pub error: Option<String>,
}

impl Evidence {
    /// The same, with the person's own values shown by their form: letters as `x`, digits as `9`.
    #[must_use]
    pub fn mask(mut self, values: &Values) -> Self {
        let mask = |text: &mut String| *text = redact::mask(text, 200);
        [&mut self.name, &mut self.email, &mut self.phone].into_iter().for_each(mask);
        // A target writes a value as it likes, a phone number with other spaces: it is not enough to look for ours.
        for attempt in self.deliveries.iter_mut().flat_map(|delivery| &mut delivery.attempts) {
            attempt.error.iter_mut().for_each(|text| *text = privacy::text(text, values));
            attempt.url.iter_mut().for_each(|url| *url = privacy::url(url));
            attempt.response_body.iter_mut().for_each(|body| *body = privacy::body(body.as_bytes()));
            for call in &mut attempt.calls {
                call.url = privacy::url(&call.url);
                call.error.iter_mut().for_each(|text| *text = privacy::text(text, values));
                let bodies = call.request_body.iter_mut().chain(&mut call.response_body);
                bodies.for_each(|body| *body = privacy::body(body.as_bytes()));
            }
        }
        for delivery in &mut self.deliveries {
            delivery.reason.iter_mut().for_each(|text| *text = privacy::text(text, values));
            let urls = delivery.records.iter_mut().filter_map(|record| record.url.as_mut());
            urls.for_each(|url| *url = privacy::url(url));
        }
        self.masked = true;
        self
    }

    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Lead {}\n\n", self.lead);
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                push(&mut text, format_args!("- {name}: {}\n", inline(value)));
            }
        };
        line("Company", &format!("{} ({})", self.company, self.company_id));
        line("Name", &self.name);
        line("E-mail", &self.email);
        line("Phone", &self.phone);
        line("State", &self.state);
        for event in &self.events {
            line(&event.event, &event.at.to_string());
        }
        for delivery in &self.deliveries {
            delivery.push_markdown(&mut text);
        }
        if self.deliveries.is_empty() {
            text.push_str("\nIt goes to no integration.\n");
        }
        text
    }
}

impl DeliveryEvidence {
    /// Tells of the next attempt. A repeat sends the same bytes: a body stays with the attempt that sent it first, and the
    /// others name that one.
    pub fn add(&mut self, mut attempt: AttemptEvidence) {
        for (place, call) in attempt.calls.iter_mut().enumerate() {
            let is_same = |old: &&AttemptEvidence| {
                let body = old.calls.get(place).and_then(|old| old.request_body.as_ref());
                body.is_some_and(|body| !body.is_empty() && Some(body) == call.request_body.as_ref())
            };
            if let Some(number) = self.attempts.iter().find(is_same).map(|old| old.number) {
                (call.request_body, call.sent_by_attempt) = (None, Some(number));
            }
        }
        self.attempts.push(attempt);
    }

    fn push_markdown(&self, text: &mut String) {
        push(
            text,
            format_args!("\n## {} ({}): {}\n\n", inline(&self.integration), self.connector, self.state),
        );
        push(text, format_args!("- Delivery: `{}`, {}, since {}\n", self.id, self.event, self.created_at));
        if let Some(at) = self.finished_at {
            push(text, format_args!("- Final: {at}\n"));
        }
        if let Some(reason) = &self.reason {
            push(text, format_args!("- Reason: {}\n", inline(reason)));
        }
        for record in &self.records {
            let url = record.url.as_deref().map(|url| format!(", {}", inline(url))).unwrap_or_default();
            push(text, format_args!("- Record: {} {}{url}\n", record.kind, inline(&record.id)));
        }
        for attempt in &self.attempts {
            attempt.push_markdown(text);
        }
    }
}

impl AttemptEvidence {
    fn push_markdown(&self, text: &mut String) {
        let class = self.failure_class.as_deref().map(|class| format!(" ({class})")).unwrap_or_default();
        push(text, format_args!("\n### Attempt {}: {}{class}\n\n", self.number, self.state));
        let by = self.operator.as_deref().map(|name| format!(" by {}", inline(name))).unwrap_or_default();
        let took = self.duration_ms.map(|millis| format!(", {millis} ms")).unwrap_or_default();
        push(text, format_args!("- {} {}{by}{took}, `{}`\n", self.started_at, self.trigger, self.id));
        if let Some(error) = &self.error {
            push(text, format_args!("- Error: {}\n", inline(error)));
        }
        for call in &self.calls {
            call.push_markdown(text);
        }
    }
}

impl CallEvidence {
    fn push_markdown(&self, text: &mut String) {
        let came = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let (method, url, millis) = (&self.method, inline(&self.url), self.duration_ms);
        push(text, format_args!("\n{} {method} {url} → {came}, {millis} ms\n", self.started_at));
        if let Some(error) = &self.error {
            push(text, format_args!("\nError: {}\n", inline(error)));
        }
        match (self.sent_by_attempt, &self.request_body) {
            (Some(number), _) => push(text, format_args!("\nSent: as in attempt {number}\n")),
            (None, Some(body)) => push_body(text, "Sent", body, self.request_bytes),
            (None, None) => text.push_str("\nSent: credentials, which are not kept\n"),
        }
        push_body(text, "Answer", self.response_body.as_deref().unwrap_or_default(), self.response_bytes);
    }
}

/// A body between fences that it cannot close; of how many bytes it is the beginning, if it is not kept whole.
fn push_body(text: &mut String, what: &str, body: &str, of: Option<u64>) {
    if !body.is_empty() {
        let fence = "`".repeat(longest_run(body).max(2) + 1);
        let of = of.map(|bytes| format!(" (of {bytes} bytes the first are kept)")).unwrap_or_default();
        push(text, format_args!("\n{what}{of}:\n\n{fence}\n{}\n{fence}\n", body.trim_end()));
    }
}

/// Text within a line, as code that ends where we end it.
fn inline(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let ticks = "`".repeat(longest_run(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// How many back-ticks stand side by side at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(more);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn call(body: &str) -> CallEvidence {
        CallEvidence {
            method: "POST".into(),
            url: "https://crm.example.com/sarah@example.com".into(),
            status: Some(422),
            started_at: Timestamp::UNIX_EPOCH,
            duration_ms: 11,
            request_body: Some(r#"{"name":"Sarah O'Brien"}"#.into()),
            sent_by_attempt: None,
            response_body: Some(body.into()),
            request_bytes: None,
            response_bytes: None,
            error: None,
        }
    }

    fn evidence(body: &str) -> Evidence {
        let attempt = AttemptEvidence {
            id: "01J8H6KQH4YG3XR8RWM6T6XFQA".into(),
            number: 1,
            trigger: "first".into(),
            state: "failed".into(),
            operator: None,
            started_at: Timestamp::UNIX_EPOCH,
            duration_ms: Some(12),
            failure_class: Some("rejected".into()),
            error: Some("422: Sarah is refused".into()),
            method: Some("POST".into()),
            url: Some("https://crm.example.com/sarah@example.com".into()),
            status_code: Some(422),
            response_body: Some(body.into()),
            calls: vec![call(body)],
        };
        let delivery = DeliveryEvidence {
            id: "01J8H6KQH4YG3XR8RWM6T6XFQD".into(),
            integration_id: "01J8H6KQH4YG3XR8RWM6T6XFQJ".into(),
            integration: "hook `x`".into(),
            connector: "webhook".into(),
            event: "lead.created".into(),
            state: "dead".into(),
            reason: Some("exhausted".into()),
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            records: vec![RecordEvidence {
                kind: "contact".into(),
                id: "151".into(),
                url: Some("https://crm.example.com/contact/151".into()),
            }],
            attempts: vec![attempt],
        };
        Evidence {
            lead: "01J8H6KQH4YG3XR8RWM6T6XFQE".into(),
            company_id: 7,
            company: "The Old Barn".into(),
            state: "unsynced".into(),
            received_at: Timestamp::UNIX_EPOCH,
            updated_at: None,
            name: "Sarah O'Brien".into(),
            email: "sarah@example.com".into(),
            phone: String::new(),
            masked: false,
            events: vec![EventEvidence { event: "lead.created".into(), at: Timestamp::UNIX_EPOCH }],
            deliveries: vec![delivery],
        }
    }

    #[test]
    fn markdown_says_what_happened_in_order() {
        let expected = "\
# Lead 01J8H6KQH4YG3XR8RWM6T6XFQE

- Company: `The Old Barn (7)`
- Name: `Sarah O'Brien`
- E-mail: `sarah@example.com`
- State: `unsynced`
- lead.created: `1970-01-01T00:00:00Z`

## `` hook `x` `` (webhook): dead

- Delivery: `01J8H6KQH4YG3XR8RWM6T6XFQD`, lead.created, since 1970-01-01T00:00:00Z
- Final: 1970-01-01T00:00:00Z
- Reason: `exhausted`
- Record: contact `151`, `https://crm.example.com/contact/151`

### Attempt 1: failed (rejected)

- 1970-01-01T00:00:00Z first, 12 ms, `01J8H6KQH4YG3XR8RWM6T6XFQA`
- Error: `422: Sarah is refused`

1970-01-01T00:00:00Z POST `https://crm.example.com/sarah@example.com` → 422, 11 ms

Sent:

```
{\"name\":\"Sarah O'Brien\"}
```

Answer:

````
```
# no heading
````
";
        assert_eq!(evidence("```\n# no heading\n").markdown(), expected);
    }

    #[test]
    fn masked_evidence_holds_nothing_of_the_person() {
        let event =
            Json::parse(br#"{"lead": {"name": "Sarah O'Brien", "email": "sarah@example.com"}}"#).unwrap();
        let mut whole = evidence("dear Sarah O'Brien <sarah@example.com>, call +44 7700 900999");
        let lost = CallEvidence {
            status: None,
            response_body: None,
            error: Some("no answer of sarah@example.com".into()),
            ..call("")
        };
        let login = CallEvidence { request_body: None, response_bytes: Some(5000), ..call("{}") };
        let first = &mut whole.deliveries[0].attempts[0];
        first.calls.extend([lost, login]);
        let repeat = AttemptEvidence { number: 2, ..first.clone() };
        whole.deliveries[0].add(repeat);
        let told = whole.markdown();
        for part in [
            "→ no answer, 11 ms\n\nError: `no answer of",
            "Sent: credentials, which are not kept\n",
            "Answer (of 5000 bytes the first are kept):\n",
        ] {
            assert_eq!(told.matches(part).count(), 2, "{part}: {told}");
        }
        assert_eq!(told.matches("\"name\":").count(), 2, "a repeat sends the same: {told}");
        assert_eq!(told.matches("Sent: as in attempt 1\n").count(), 2, "{told}");
        let masked = whole.mask(&Values::of(&event));
        for text in [masked.markdown(), serde_json::to_string(&masked).unwrap()] {
            let text = text.to_lowercase();
            assert!(!text.contains("sarah") && !text.contains("brien") && !text.contains("7700"), "{text}");
            assert!(text.contains("xxxxx@xxxxxxx.xxx"), "{text}");
        }
    }
}
