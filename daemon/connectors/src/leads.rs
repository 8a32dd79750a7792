//! What the connectors to CRMs with Leads share. Somebody's Lead is found by the id that is known of it, then by their
//! address, else made; each enquiry is kept on it as a note, so that an update never has to write over what sales wrote.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Conversation, Push, Result,
    config::List,
    crm,
    plan::plan,
    summary,
    vendor::{FoundId, TOLD, id_of, word},
    written::{self, Written},
};
use leadline_domain::{
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// The longest note that is read back when a push is repeated, in bytes.
const NOTE_MAX: usize = 30_000;
/// What stands before the lead in a note.
const FRAME: usize = 64;
/// The longest title of a note, in UTF-16 units.
const TITLE_MAX: usize = 120;

/// How the id of an owner is written: under which name, and as what.
pub(super) type WriteOwner = fn(&str) -> (&'static str, Json);

/// What a vendor calls the fields of a Lead that matter to all of us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) vendor: &'static str,
    pub(super) email: &'static str,
    pub(super) first: &'static str,
    pub(super) last: &'static str,
    /// How many UTF-16 units fields take; whatever is not named is told by the vendor.
    pub(super) limits: &'static [(&'static str, usize)],
    /// The field that says whose a Lead is, and how it is written, if not as it stands.
    pub(super) owner: (&'static str, WriteOwner),
}

plan! {
    /// What all calls of a push are made from.
    pub(super) struct LeadPlan {
        /// The address that the Lead is found by: trimmed and in lower case.
        pub(super) email: String,
        pub(super) lead: String,
        pub(super) create: Json,
        /// Without what only a new Lead is given: half a name is never written over a whole one.
        pub(super) update: Json,
        /// Whether the last name is made up of what else is known.
        pub(super) has_made_name: bool,
        /// Whether it has something that only a record which is made for the lead gets, half a name too.
        pub(super) has_new: bool,
        pub(super) title: String,
        pub(super) note: String,
        /// What of the lead's texts it leaves out.
        notes: Vec<String>,
    }
}

impl LeadPlan {
    pub(super) fn make(names: Names, mapping: &Mapping, push: &Push<'_>) -> Result<Self> {
        let event = crm::event(push)?;
        let email = crm::email(names.vendor, &event)?;
        let fields = crm::person_fields(mapping, &event, push)?;
        let half = crm::half_name(mapping, &event);
        let (mut create, mut update) = (Json::Object(Vec::new()), Json::Object(Vec::new()));
        let mut notes = Vec::new();
        let is_for_new = |name: &str| mapping.is_for_new(name) || half.contains(&name);
        for (name, value) in &fields {
            let is_long = |max: &usize| value.as_str().is_some_and(|text| crm::units(&text) > *max);
            let cut = names.limit(name).filter(is_long);
            notes.extend(cut.map(|max| crm::was_cut(&format!("field {name}"), max)));
            let (written, value) = names.written(name, value);
            // What shall be emptied is in no new Lead, and a Lead is never without its last name.
            if !value.is_null() {
                create.insert(usize::MAX, written, value.clone());
            }
            if !(is_for_new(name) || value.is_null() && written == names.last) {
                update.insert(usize::MAX, written, value);
            }
        }
        create.insert(usize::MAX, names.email, Json::string(&email));
        update.insert(usize::MAX, names.email, Json::string(&email));
        let has_made_name = create.get(names.last).is_none();
        if has_made_name {
            let first = create.take_at(names.first);
            update.take_at(names.first);
            let made = first.unwrap_or_else(|| {
                let name = event.at("lead.name").map(crm::text).unwrap_or_default();
                Json::string(if name.trim().is_empty() { &email } else { name.trim() })
            });
            create.insert(usize::MAX, names.last, names.limited(names.last, &made));
        }
        let [title, note] = told(&event, push);
        Ok(Self {
            lead: event.at("lead.uuid").map(crm::text).unwrap_or_default(),
            email,
            create,
            update,
            has_made_name,
            has_new: fields.iter().any(|(name, _)| is_for_new(name)),
            title,
            note,
            notes,
        })
    }

    /// Adds what only a new Lead is given, unless the mapping has given it.
    pub(super) fn add(&mut self, name: &str, value: Json) {
        if self.create.get(name).is_none() {
            self.create.insert(usize::MAX, name, value);
        }
    }
}

/// The title and the text that tell an enquiry. The delivery's id is what a note whose answer was lost is found by.
fn told(event: &Json, push: &Push<'_>) -> [String; 2] {
    let title = summary::headline(event, push);
    let note = crm::plain(event, push, |note| note.len() <= NOTE_MAX - FRAME);
    let note = format!("Delivery: {}\n{note}", push.id);
    [crm::cut(&title, TITLE_MAX).into_owned(), crm::cut_bytes(&note, NOTE_MAX).into_owned()]
}

impl Names {
    /// What fields are called where some are refused, and which are spared.
    pub(super) const fn fields(self) -> (&'static str, [&'static str; 2]) {
        ("field ", [self.email, self.last])
    }

    /// A field as it is written.
    fn written<'a>(self, name: &'a str, value: &Json) -> (&'a str, Json) {
        let (owner, write) = self.owner;
        if name == owner && !value.is_null() {
            write(&crm::text(value))
        } else {
            (name, self.limited(name, value))
        }
    }

    fn limit(self, name: &str) -> Option<usize> {
        self.limits.iter().find(|(field, _)| *field == name).map(|(_, limit)| *limit)
    }

    pub(super) fn limited(self, name: &str, value: &Json) -> Json {
        match (value.as_str(), self.limit(name)) {
            (Some(text), Some(limit)) => Json::string(&crm::cut(&text, limit)),
            _ => value.clone(),
        }
    }
}

/// A Lead that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct There {
    pub(super) id: String,
    /// What its status is called, where that means that sales closed it.
    pub(super) closed: Option<String>,
}

impl There {
    /// As a vendor lists it, whose statuses of these names mean that it is closed.
    pub(super) fn of(lead: &Value, [id, status]: [&str; 2], closed: &List) -> Option<Self> {
        let status = word(lead, status).unwrap_or_default();
        let is_closed = closed.0.iter().any(|own| own.eq_ignore_ascii_case(status));
        Some(Self { id: id_of(&lead[id])?, closed: is_closed.then(|| status.to_owned()) })
    }
}

/// The first of somebody's Leads that is open, as the vendor lists them; where sales closed them all, the first.
pub(super) fn first_open(leads: impl IntoIterator<Item = There>) -> Option<There> {
    let (closed, open): (Vec<_>, Vec<_>) = leads.into_iter().partition(|lead| lead.closed.is_some());
    open.into_iter().chain(closed).next()
}

/// How a vendor's Leads are found, made and changed, and how a text is put on one.
#[async_trait]
pub(super) trait Leads: Sync {
    /// The Lead of this id, unless it is gone or became a customer.
    async fn by_id(&self, id: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>>;
    /// The Lead of this address, alike.
    async fn by_email(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>>;
    /// What the text that keeps an enquiry on a Lead is called; none if there is to be no such.
    fn note_kind(&self) -> Option<&'static str> {
        Some("note")
    }
    /// Whether a Lead that is made tells its enquiry itself.
    fn tells_enquiry(&self) -> bool {
        false
    }
    /// The Lead where none is found by its address: that of the lead of this uuid, where the vendor is told it, or what the
    /// last push for the person made, where the search lags.
    async fn otherwise(&self, _uuid: &str, _ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        Ok(None)
    }
    /// Makes a Lead and returns its id.
    async fn create(&self, plan: &LeadPlan, ctx: &mut Conversation<'_>) -> Result<String>;
    /// Changes a Lead; false if it is gone. Its owner stays.
    async fn update(&self, id: &str, fields: &Json, ctx: &mut Conversation<'_>) -> Result<bool>;
    /// The fields with their values that open a closed Lead again; none if it is to stay closed.
    fn reopening(&self) -> Vec<(&str, Json)>;
    /// The note on a Lead that tells of this push.
    async fn find_note(&self, lead: &str, push: &Push<'_>, ctx: &mut Conversation<'_>) -> FoundId;
    /// Puts a note, its title and its text, on a Lead and returns its id; none if the Lead is gone.
    async fn note(&self, lead: &str, note: [&str; 2], ctx: &mut Conversation<'_>) -> FoundId;
}

/// An enquiry on its way: the Lead, once for each delivery, then its note, once for each delivery.
pub(super) struct Enquiry<'a> {
    pub(super) crm: &'a dyn Leads,
    pub(super) push: &'a Push<'a>,
    pub(super) plan: LeadPlan,
}

impl Enquiry<'_> {
    pub(super) async fn bring(&self, ctx: &mut Conversation<'_>) -> Result<()> {
        // Whether the vendor forbids a second Lead of one address is for each account to say.
        ctx.lock_person(&self.plan.email).await;
        let done = format!("lead.{}", self.push.id);
        // A Lead that an earlier attempt left may be gone when its note comes: then it is looked for once more.
        for is_last in [false, true] {
            let lead = match ctx.id(&done).filter(|_| !is_last) {
                Some(lead) => lead,
                None => self.lead(ctx).await?,
            };
            ctx.last_made().into_iter().for_each(|made| *made = json!(lead));
            ctx.keep_site().await;
            ctx.keep(&[("lead", &lead), (&done, &lead)]).await;
            written::keep(&self.plan.update, ctx).await;
            if self.noted(&lead, ctx).await? {
                return Ok(());
            }
        }
        Err(Failure::new(FailureClass::Transient, "the Lead was gone again before its note came"))
    }

    async fn lead(&self, ctx: &mut Conversation<'_>) -> Result<String> {
        let Self { crm, push, plan } = self;
        if let Some(id) = ctx.id("lead")
            && let Some(known) = crm.by_id(&id, ctx).await?
        {
            // A Lead that was merged into another is closed at some vendors, and the other is open.
            let other = if known.closed.is_some() { crm.by_email(&plan.email, ctx).await? } else { None };
            let other = other.filter(|other| other.closed.is_none() && other.id != known.id);
            let (there, fields) = match other {
                Some(other) => (other, plan.update.clone()),
                None => (known, Written::of(push, ctx).news(&plan.update)),
            };
            if self.updated(fields, &there, ctx).await? {
                return Ok(there.id);
            }
        }
        if let Some(there) = crm.by_email(&plan.email, ctx).await?
            && self.updated(plan.update.clone(), &there, ctx).await?
        {
            return Ok(there.id);
        }
        if let Some(there) = crm.otherwise(&plan.lead, ctx).await?
            && self.updated(plan.update.clone(), &there, ctx).await?
        {
            return Ok(there.id);
        }
        let made = crm.create(plan, ctx).await?;
        if let Some(kind) = crm.note_kind().filter(|_| crm.tells_enquiry()) {
            ctx.keep(&[(&format!("{kind}.{}", push.id), TOLD)]).await;
        }
        Ok(made)
    }

    async fn updated(&self, mut fields: Json, there: &There, ctx: &mut Conversation<'_>) -> Result<bool> {
        if let Some(status) = &there.closed {
            let reopening = self.crm.reopening();
            if reopening.is_empty() {
                ctx.keep(&[(&closed_key(self.push), status)]).await;
            }
            reopening.into_iter().for_each(|(field, value)| fields.insert(usize::MAX, field, value));
        }
        // It was just found.
        Ok(!written::has_members(&fields) || self.crm.update(&there.id, &fields, ctx).await?)
    }

    /// Keeps the enquiry on the Lead; false if the Lead is gone.
    async fn noted(&self, lead: &str, ctx: &mut Conversation<'_>) -> Result<bool> {
        let Self { crm, push, plan } = self;
        let Some(kind) = crm.note_kind() else { return Ok(true) };
        let key = format!("{kind}.{}", push.id);
        if ctx.id(&key).is_some() {
            return Ok(true);
        }
        let found = if push.is_repeat { crm.find_note(lead, push, ctx).await? } else { None };
        let note = match found {
            Some(note) => Some(note),
            None => {
                let closed = ctx.id(&closed_key(push));
                let closed =
                    closed.map(|status| format!("The Lead was closed before this enquiry: {status}\n"));
                let text = format!("{}{}", closed.unwrap_or_default(), plan.note);
                crm.note(lead, [&plan.title, &text], ctx).await?
            }
        };
        if let Some(note) = &note {
            ctx.keep(&[(&key, note)]).await;
        }
        Ok(note.is_some())
    }
}

/// Under which the status is kept of a Lead that was closed when this enquiry came.
fn closed_key(push: &Push<'_>) -> String {
    format!("_closed.{}", push.id)
}
