//! What the connectors to vendors' APIs share: calls that must succeed, and failures in the vendor's own words.

use std::time::Duration;

use serde_json::Value;

use super::{Call, Conversation, Moment, Push, Request, Response, Result, crm, reading};
pub(super) use leadline_domain::texts::named;
use leadline_domain::{
    integration::ProbeKind,
    json::Json,
    outcome::{Failure, FailureClass},
};

/// The longest error, in characters.
const ERROR_MAX: usize = 400;
/// So many pages of a list are read; a conversation has a few calls beside them.
const PAGES_MAX: usize = 16;
/// So often a record is written without what was refused, as each refusal may name one field alone.
const REFUSALS_MAX: usize = 8;
/// How long a search may lag behind what was written; no vendor documents it.
const LAG: Duration = Duration::from_secs(15);
/// Two clocks differ by less than this.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_secs(600);
/// What is kept in the place of an id where something tells an enquiry whose id cannot be read.
pub(super) const TOLD: &str = "described";

/// The id of what was looked for; none if there is no such thing.
pub(super) type FoundId = Result<Option<String>>;

/// A vendor: what it is called, and how its refusals are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) failure: fn(&Response, Moment) -> Failure,
}

impl Vendor {
    /// The answer to a call that must succeed.
    pub(super) async fn good(&self, ctx: &mut Conversation<'_>, call: impl Into<Call>) -> Result<Response> {
        let answer = ctx.send(call).await?;
        self.checked(answer, ctx.now)
    }

    /// An answer, if it is a good one.
    pub(super) fn checked(&self, answer: Response, now: Moment) -> Result<Response> {
        if answer.is_good() { Ok(answer) } else { Err((self.failure)(&answer, now)) }
    }

    /// The id under a path, as `data/id`, in the answer to a call that made something.
    pub(super) fn made(&self, answer: Response, id: &str, now: Moment) -> Result<String> {
        let answer = self.checked(answer, now)?;
        let made = answer.json().as_ref().and_then(|body| id_of(body.pointer(&format!("/{id}"))?));
        made.ok_or_else(|| unreadable(self.name, &answer, id))
    }

    /// The JSON that answers a call which changes nothing, so that asking again does no harm.
    pub(super) async fn json(&self, ctx: &mut Conversation<'_>, call: impl Into<Call>) -> Result<Value> {
        let answer = ctx.send(call).await?;
        self.read(&answer, ctx.now)
    }

    /// The JSON of such an answer.
    pub(super) fn read(&self, answer: &Response, now: Moment) -> Result<Value> {
        if !answer.is_good() {
            return Err((self.failure)(answer, now));
        }
        answer.json().ok_or_else(|| unread(self.name, answer, "JSON"))
    }

    /// The JSON of what a setting names. Where it is not there, a look at the mapping says so and goes on.
    pub(super) async fn named(
        &self,
        ctx: &mut Conversation<'_>,
        kind: ProbeKind,
        key: &str,
        call: impl Into<Call>,
    ) -> Result<Value> {
        match self.json(ctx, call).await {
            Err(failure) if kind == ProbeKind::Mapping && failure.class == FailureClass::Rejected => {
                ctx.found.findings.push(format!("{key}: {}", failure.error));
                Ok(Value::Null)
            }
            answer => answer,
        }
    }

    /// What is listed under a path, as `data/items`, in the answer to a call that changes nothing. Null is an empty list. An
    /// answer without any says nothing of what is there: whoever took it for nothing would make it a second time.
    pub(super) fn entries(&self, answer: &Response, list: &str, now: Moment) -> Result<Vec<Value>> {
        match self.read(answer, now)?.pointer_mut(&format!("/{list}")).map(Value::take) {
            Some(Value::Array(entries)) => Ok(entries),
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(unread(self.name, answer, list)),
        }
    }

    /// What is listed in the answer to such a call.
    pub(super) async fn listed(
        &self,
        ctx: &mut Conversation<'_>,
        call: impl Into<Call>,
        list: &str,
    ) -> Result<Vec<Value>> {
        let answer = ctx.send(call).await?;
        self.entries(&answer, list, ctx.now)
    }

    /// The `id` of the one listed under `list` whose `text` tells of this push; lists and texts are named by paths.
    pub(super) fn told_of(&self, push: &Push<'_>, listed: &Response, [list, text, id]: [&str; 3]) -> FoundId {
        if listed.truncated && listed.is_good() {
            // Longer than what is read of an answer: what tells ours stands in it or not.
            let is_told = push.is_told_by(&String::from_utf8_lossy(&listed.body));
            return Ok(is_told.then(|| TOLD.to_owned()));
        }
        let text = format!("/{text}");
        let tells = |one: &Value| {
            one.pointer(&text).and_then(Value::as_str).is_some_and(|told| push.is_told_by(told))
        };
        let listed = self.entries(listed, list, push.now)?;
        Ok(listed.iter().find(|one| tells(one)).and_then(|ours| id_of(&ours[id])))
    }

    /// Keeps what a push tells as a note, once for each delivery: `make` answers with its id at a path. Vendors take no key
    /// for a note, so that one whose answer was lost is looked for by what it says.
    pub(super) async fn note_once(
        &self,
        push: &Push<'_>,
        (look, at): (Request, [&str; 3]),
        (make, id): (Request, &str),
        ctx: &mut Conversation<'_>,
    ) -> Result<()> {
        let key = format!("note.{}", push.id);
        if ctx.id(&key).is_some() {
            return Ok(());
        }
        let listed = if push.is_repeat { Some(ctx.send(look).await?) } else { None };
        let found = listed.map(|listed| self.told_of(push, &listed, at)).transpose()?.flatten();
        let note = match found {
            Some(note) => note,
            None => self.made(ctx.send(make).await?, id, ctx.now)?,
        };
        ctx.keep(&[("note", &note), (&key, &note)]).await;
        Ok(())
    }

    /// The whole of a list that comes in pages: `page` asks for the first one, or for the one of this key, and `next` is
    /// the key of the page after an answer's.
    pub(super) async fn list(
        &self,
        ctx: &mut Conversation<'_>,
        entries: &str,
        page: impl Fn(Option<&str>) -> Request + Sync,
        next: impl Fn(&Value) -> Option<String> + Sync,
    ) -> Result<Value> {
        let mut all = Vec::new();
        let mut key = None;
        for _ in 0..PAGES_MAX {
            let answer = ctx.send(page(key.as_deref())).await?;
            all.extend(self.entries(&answer, entries, ctx.now)?);
            key = answer.json().as_ref().and_then(&next);
            if key.is_none() {
                return Ok(Value::Array(all));
            }
        }
        let error = format!("{} has more {entries} than {PAGES_MAX} pages hold", self.name);
        Err(Failure::new(FailureClass::Rejected, error))
    }
}

/// Words of a vendor's, with blanks between them.
pub(super) type Terms = &'static str;

/// Codes by what they mean.
pub(super) type Classes = &'static [(FailureClass, Terms)];

/// What a code means, if that is known.
pub(super) fn class_of(code: &str, classes: Classes) -> Option<FailureClass> {
    classes.iter().find(|(_, codes)| named(codes, code)).map(|(class, _)| *class)
}

/// What is wrong with a field of a write.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It is refused, for this reason.
    Refused(String),
    /// It takes no more than so many UTF-16 units.
    LongerThan(usize),
}

impl Flaw {
    /// Leaves the field out or cuts it, and says so; none if it is not there, or is no longer than that.
    fn mend(&self, fields: &mut Json, what: &str, name: &str) -> Option<String> {
        match self {
            Self::Refused(reason) => {
                let Json::Object(members) = &mut *fields else { return None };
                match members.iter().position(|(own, _)| own.is(name)) {
                    Some(at) => drop(members.remove(at)),
                    None => drop(fields.take_at(name)?),
                }
                Some(reading::one_line(&format!("{what}{name} was left out: {reason}"), ERROR_MAX))
            }
            Self::LongerThan(limit) => {
                let text = fields.get(name)?.as_str().filter(|text| crm::units(text) > *limit)?;
                fields.insert(usize::MAX, name, Json::string(&crm::cut(&text, *limit)));
                Some(crm::was_cut(&format!("{what}{name}"), *limit))
            }
        }
    }
}

/// The answer to a write without what is refused of it: one field that the vendor does not take keeps nobody out, and is
/// noted. `flaws` names the fields, and `what` they are called. Of those that are spared the first, by which records are
/// found, is neither cut nor left out: half an address is another's. The second, their name, is not left out.
pub(super) async fn without_refused(
    fields: &Json,
    (what, [key, name]): (&str, [&str; 2]),
    flaws: fn(&Response) -> Vec<(String, Flaw)>,
    request: impl Fn(&Json) -> Request + Sync,
    ctx: &mut Conversation<'_>,
) -> Result<Response> {
    let mut fields = fields.clone();
    for _ in 0..REFUSALS_MAX {
        // Vendors repeat what they took, and what they refuse.
        let answer = ctx.send(request(&fields).long()).await?;
        let mut flaws = flaws(&answer);
        let is_refused = |flaw: &Flaw| matches!(flaw, Flaw::Refused(_));
        flaws.retain(|(own, flaw)| own != key && !(own == name && is_refused(flaw)));
        ctx.refused.extend(flaws.iter().filter(|(_, flaw)| is_refused(flaw)).map(|(own, _)| own.clone()));
        let mended: Vec<String> =
            flaws.iter().filter_map(|(own, flaw)| flaw.mend(&mut fields, what, own)).collect();
        if mended.is_empty() {
            return Ok(answer);
        }
        mended.into_iter().for_each(|note| ctx.note(note));
    }
    ctx.send(request(&fields)).await
}

/// A failure in the vendor's words: `airtable UNKNOWN_FIELD_NAME Unknown field name: "Gusts"`, on one line.
pub(super) fn told(vendor: &str, class: FailureClass, code: &str, message: &str) -> Failure {
    Failure::new(class, reading::one_line(&format!("{vendor} {code} {message}"), ERROR_MAX))
}

/// A refusal in the vendor's words, where there is a code, and of this class, where the code is known; else as its status
/// says. Who is throttled waits as long as the answer says, else for this time.
pub(super) fn refusal(
    vendor: &str,
    response: &Response,
    now: Moment,
    [code, message]: [&str; 2],
    class: Option<FailureClass>,
    wait: Duration,
) -> Failure {
    let by_status = by_status(vendor, response, now);
    let class = class.unwrap_or(by_status.class);
    let error =
        if code.is_empty() { by_status.error.clone() } else { told(vendor, class, code, message).error };
    let retry_after = by_status.retry_after.filter(|_| class.is_retried());
    let failure = Failure { class, error, retry_after };
    // Who is away for a while may say for how long.
    let is_told = response.status == 503 && retry_after.is_some();
    if class == FailureClass::Throttled && !is_told { waiting(failure, response, now, wait) } else { failure }
}

/// What the status says, where the body says nothing that we know. A success that cannot be read is no success yet.
pub(super) fn by_status(vendor: &str, response: &Response, now: Moment) -> Failure {
    let mut failure = reading::failure(response, now);
    failure.error = reading::one_line(&format!("{vendor} {}", failure.error), ERROR_MAX);
    failure
}

/// A good answer that does not say what it must: the target may have acted.
pub(super) fn unreadable(vendor: &str, response: &Response, lacking: &str) -> Failure {
    let reason = if response.truncated { "was cut off" } else { "cannot be read" };
    let error = format!("{vendor}: the answer {reason}: no {lacking} in {}", reading::describe(response));
    Failure::new(FailureClass::Unknown, reading::one_line(&error, ERROR_MAX))
}

/// The same of a call that changes nothing, so that asking again does no harm.
pub(super) fn unread(vendor: &str, response: &Response, lacking: &str) -> Failure {
    Failure { class: FailureClass::Transient, ..unreadable(vendor, response, lacking) }
}

/// What a call was about was deleted since it was written: the next attempt finds what took its place, or makes it.
pub(super) fn gone(vendor: &str, what: &str) -> Failure {
    Failure::new(FailureClass::Transient, format!("{vendor}: somebody deleted the {what} meanwhile"))
}

/// Fails where another push has just ended: the search may not know yet what that has made, and is asked again. Once, as
/// that push may have made nothing, or have been an attempt of this one.
pub(super) async fn wait_once(vendor: &str, what: &str, ctx: &mut Conversation<'_>) -> Result<()> {
    let waited = format!("_{what}_waited");
    if !ctx.recently_pushed || ctx.id(&waited).is_some() {
        return Ok(());
    }
    ctx.keep(&[(&waited, what)]).await;
    let error =
        format!("{vendor}: another push for this {what} has just ended, and the search may not know it yet");
    Err(Failure { retry_after: Some(LAG), ..Failure::new(FailureClass::Transient, error) })
}

/// The same failure, which makes the lane wait: as long as the answer says, else for this time.
pub(super) fn waiting(failure: Failure, response: &Response, now: Moment, or: Duration) -> Failure {
    let asked = reading::retry_after(response, now).unwrap_or_default();
    Failure { class: FailureClass::Throttled, retry_after: Some(asked.max(or)), ..failure }
}

/// The last hundredth of a day's calls is left to the account's other programs: ours can wait.
pub(super) fn all_but_spent(vendor: &str, left: u64, of: u64, wait: Duration) -> Option<Failure> {
    let is_spent = left.saturating_mul(100) < of;
    is_spent.then(|| {
        let message = format!("{left} of the day's {of} calls are left, and are left to others");
        let failure = told(vendor, FailureClass::Throttled, "quota:", &message);
        Failure { retry_after: Some(wait), ..failure }
    })
}

/// What a list holds; nothing, if it is none.
pub(super) fn each(list: &Value) -> impl Iterator<Item = &Value> + Clone {
    list.as_array().into_iter().flatten()
}

/// The id in an answer, be it text or a number.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A text member of a JSON object that is not empty.
pub(super) fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}
