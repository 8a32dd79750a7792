//! The contact of a lead: looked at first, so that nobody is put back where they left; then the event.

use super::{Compiled, NAME, VENDOR, error};
use crate::{
    prelude::*,
    told,
    vendor::{CLOCKS_DIFFER, TOLD, gone},
};

/// Brevo takes 50 KB of properties for an event; each text of them, and all together, in bytes.
const TEXT_MAX: usize = 4_000;
const TEXTS_MAX: usize = 40_000;
/// The longest name of a property: Brevo takes 255 characters.
const KEY_MAX: usize = 60;

/// What all calls are made from: the address, the attributes, the event, and attributes that not every contact gets.
pub(super) fn render(ready: &Compiled, push: &Push<'_>) -> Result<Bytes> {
    let event = crm::consented(NAME, push)?;
    let email = crm::email(NAME, &event)?;
    let written = |_: &str, value: &Json| match value {
        Json::Number(_) | Json::Bool(_) => Some(value.clone()),
        other => Some(Json::string(&crm::text(other))),
    };
    let (attributes, extras) = crm::person(&ready.mapping, &event, push, (usize::MAX, crm::cut), written)?;
    let mut plan = Json::object([("email", Json::string(&email)), ("attributes", attributes)]);
    if ready.events {
        plan.insert(usize::MAX, "event", enquiry(&event, push));
    }
    crm::put_extras(&mut plan, extras);
    Ok(crm::kept(plan))
}

/// The enquiry as an event, whose properties have names that Brevo takes. It is found by the delivery's id.
fn enquiry(event: &Json, push: &Push<'_>) -> Json {
    let name = if push.event == EventKind::Updated { "lead_updated" } else { "lead_received" };
    let plain = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' };
    let mut told = Json::object([("delivery", Json::string(push.id))]);
    let mut room = TEXTS_MAX;
    for line in told::lines_of(event, push.telling) {
        let mut key: String = line.label.chars().take(KEY_MAX).map(plain).collect();
        while told.get(&key).is_some() {
            key.push('_');
        }
        let value = crm::cut_bytes(&line.value, TEXT_MAX.min(room));
        room = room.saturating_sub(value.len());
        told.insert(usize::MAX, &key, Json::string(&value));
    }
    Json::object([
        ("event_name", Json::string(name)),
        ("event_date", Json::string(&crm::utc(push.now))),
        ("event_properties", told),
    ])
}

/// Who is known already, as far as that matters.
struct Known {
    id: String,
    attributes: Value,
    is_blocked: bool,
    /// The lists that the contact is on, or has unsubscribed from.
    settled: Vec<u64>,
    /// The configured lists that the contact has unsubscribed from.
    left: usize,
}

/// Brings the contact, then the event.
pub(super) async fn bring(ready: &Compiled, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
    crm::consented(NAME, push)?;
    let mut plan = crm::rendered(push, ctx)?;
    let email = plan.get("email").map(crm::text).unwrap_or_default();
    let event = plan.take_at("event");
    // An event that an earlier attempt sent came after its contact.
    let is_begun = |id: &str, ctx: &Conversation<'_>| ctx.id(&format!("contact.{id}")).is_some();
    let may_be_told =
        push.is_repeat && (is_begun(push.id, ctx) || push.same.iter().any(|id| is_begun(id, ctx)));
    let contact = bring_contact(ready, push, &mut plan, &email, ctx).await?;
    let Some(event) = event else { return Ok(()) };
    ctx.joined().await;
    ctx.keep(&[(&format!("contact.{}", push.id), contact.as_deref().unwrap_or(TOLD))]).await;
    tell(ready, push, event, (contact, &email), may_be_told, ctx).await
}

/// Keeps the enquiry as an event, once for each delivery. Who was asked to confirm may be no contact yet, and is named by
/// their address.
async fn tell(
    ready: &Compiled,
    push: &Push<'_>,
    mut event: Json,
    (contact, email): (Option<String>, &str),
    may_be_told: bool,
    ctx: &mut Conversation<'_>,
) -> Result<()> {
    let key = format!("event.{}", push.id);
    if ctx.id(&key).is_some() {
        return Ok(());
    }
    let name = event.get("event_name").map(crm::text).unwrap_or_default();
    if !(may_be_told && is_told(ready, push, &name, contact.as_deref(), ctx).await?) {
        let number = contact.as_ref().and_then(|contact| contact.parse().ok());
        let who = match number {
            Some(number) => ("contact_id", Json::integer(number)),
            None => ("email_id", Json::string(email)),
        };
        event.insert(usize::MAX, "identifiers", Json::object([who]));
        let answer = ctx.send(ready.request(Method::POST, &["events"]).json(event.to_bytes())).await?;
        if answer.status == 404 {
            return Err(gone(NAME, "contact"));
        }
        VENDOR.checked(answer, ctx.now)?;
    }
    ctx.keep(&[(&key, TOLD)]).await;
    Ok(())
}

/// Whether Brevo has the event of this push.
async fn is_told(
    ready: &Compiled,
    push: &Push<'_>,
    name: &str,
    contact: Option<&str>,
    ctx: &mut Conversation<'_>,
) -> Result<bool> {
    let (from, to) = (crm::utc(push.since.before(CLOCKS_DIFFER)), crm::utc(ctx.now));
    let mut query = vec![("event_name", name), ("startDate", from.as_str()), ("endDate", to.as_str())];
    query.extend(contact.map(|contact| ("contact_id", contact)));
    let listed = ctx.send(ready.request(Method::GET, &["events"]).query(&query).long()).await?;
    // What is longer than what is read of an answer begins with the newest.
    if !(listed.truncated && listed.is_good()) && VENDOR.read(&listed, ctx.now)?["count"].is_null() {
        return Err(unread(NAME, &listed, "count"));
    }
    Ok(push.is_told_by(&String::from_utf8_lossy(&listed.body)))
}

/// Makes the contact or changes it, and returns its id as far as Brevo tells it.
async fn bring_contact(
    ready: &Compiled,
    push: &Push<'_>,
    plan: &mut Json,
    email: &str,
    ctx: &mut Conversation<'_>,
) -> FoundId {
    let known = find(ready, email, ctx).await?;
    let may_join = ctx.may_join(push, "contact", known.as_ref().map(|known| &*known.id)).await;
    let extras = crm::take_extras(plan, known.as_ref().map(|known| &known.attributes), |_| true);
    let mut all = plan.get("attributes").cloned().unwrap_or(Json::Null);
    extras.into_iter().for_each(|(name, value)| all.insert(usize::MAX, &name, value));
    let Some(known) = known else { return make(ready, email, &all, ctx).await };
    let is_same = ctx.id("contact").as_ref() == Some(&known.id);
    let written = if is_same { Written::of(push, ctx) } else { Written::default() };
    let attributes = &written.news(&all);
    ctx.keep(&[("contact", &known.id)]).await;
    if known.is_blocked {
        ctx.note("the contact is blocked at Brevo, by themselves or by somebody: it is put on no list");
    } else if known.left > 0 {
        ctx.note("the contact unsubscribed from a list: it is not put back on it");
    }
    let is_new = |list: &&u64| may_join && !known.is_blocked && !known.settled.contains(*list);
    let lists: Vec<u64> = ready.lists.iter().filter(is_new).copied().collect();
    let asked = !lists.is_empty() && ready.confirmation.is_some();
    let change = |attributes: &Json| {
        let mut body = json!({ "attributes": crm::value(attributes) });
        if !asked && !lists.is_empty() {
            body["listIds"] = json!(lists);
        }
        let request = ready.request(Method::PUT, &["contacts", &known.id]);
        request.query(&[("identifierType", "contact_id")]).json(body.to_string())
    };
    let changed = write(attributes, change, ctx).await?;
    if changed.status == 404 {
        // It was deleted since it was looked at.
        return make(ready, email, &all, ctx).await;
    }
    VENDOR.checked(changed, ctx.now)?;
    written::keep(&all, ctx).await;
    if asked {
        ask(ready, email, attributes, &lists, ctx).await?;
    }
    Ok(Some(known.id))
}

async fn find(ready: &Compiled, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<Known>> {
    // Without these dates comes what campaigns did in three months, which may be more than is read.
    let now = crm::utc(ctx.now);
    let day = now.split('T').next().unwrap_or_default();
    let query = [("identifierType", "email_id"), ("startDate", day), ("endDate", day)];
    let get = ready.request(Method::GET, &["contacts", email]).query(&query);
    let answer = ctx.send(get).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let contact = VENDOR.read(&answer, ctx.now)?;
    let numbers = |key: &str| contact[key].as_array().into_iter().flatten().filter_map(Value::as_u64);
    Ok(Some(Known {
        id: id_of(&contact["id"]).ok_or_else(|| unread(NAME, &answer, "id"))?,
        attributes: contact["attributes"].clone(),
        is_blocked: contact["emailBlacklisted"].as_bool().unwrap_or(false),
        settled: numbers("listIds").chain(numbers("listUnsubscribed")).collect(),
        left: numbers("listUnsubscribed").filter(|list| ready.lists.contains(list)).count(),
    }))
}

/// A new contact; who may have been made by a call whose answer was lost is only changed.
async fn make(ready: &Compiled, email: &str, attributes: &Json, ctx: &mut Conversation<'_>) -> FoundId {
    if ready.confirmation.is_some() {
        return ask(ready, email, attributes, &ready.lists, ctx).await.map(|()| None);
    }
    let create = |attributes: &Json| {
        let body = json!({"email": email, "attributes": crm::value(attributes), "listIds": ready.lists,
            "updateEnabled": true});
        ready.request(Method::POST, &["contacts"]).json(body.to_string())
    };
    let made = VENDOR.checked(write(attributes, create, ctx).await?, ctx.now)?;
    let id = made.json().and_then(|body| id_of(&body["id"]));
    if let Some(id) = &id {
        ctx.keep(&[("contact", id)]).await;
        written::keep(attributes, ctx).await;
    }
    Ok(id)
}

/// Asks by mail to confirm, once for each lead and address: then Brevo puts the contact on the lists.
async fn ask(
    ready: &Compiled,
    email: &str,
    attributes: &Json,
    lists: &[u64],
    ctx: &mut Conversation<'_>,
) -> Result<()> {
    let Some(confirmation) = &ready.confirmation else { return Ok(()) };
    if ctx.id("_asked").is_some_and(|asked| asked == email) {
        return Ok(());
    }
    let request = |attributes: &Json| {
        let body = json!({"email": email, "attributes": crm::value(attributes), "includeListIds": lists,
            "templateId": confirmation.template, "redirectionUrl": confirmation.redirect});
        ready.request(Method::POST, &["contacts", "doubleOptinConfirmation"]).json(body.to_string())
    };
    VENDOR.checked(write(attributes, request, ctx).await?, ctx.now)?;
    ctx.keep(&[("_asked", email)]).await;
    Ok(())
}

/// Writes a contact. An attribute that Brevo refuses keeps nobody out: it is left out, and noted.
async fn write(
    attributes: &Json,
    request: impl Fn(&Json) -> Request + Sync,
    ctx: &mut Conversation<'_>,
) -> Result<Response> {
    without_refused(attributes, ("attribute ", ["", ""]), error::flaws, request, ctx).await
}
