//! A push to Klaviyo: the profile, the subscription of who never had one, the event.

use super::{
    Compiled, NAME, VENDOR,
    config::{self, Config},
    error,
};
use crate::{prelude::*, told, vendor::gone};
use leadline_domain::money;

/// The longest text of an attribute or property, in UTF-16 units: ours, as Klaviyo names none but 100 KB for all.
const TEXT_MAX: usize = 2_000;
/// What is read of somebody who may be there.
const LOOK: &str = "email,first_name,last_name";
/// Under which the address is kept that a subscription was asked for.
const SUBSCRIBED: &str = "_subscribed";

/// What all calls are made from: the attributes of the profile, those of one that is new if they differ, and the event's.
pub(super) fn plan(mapping: &Mapping, settings: &Config, push: &Push<'_>) -> Result<Json> {
    let event = crm::consented(NAME, push)?;
    let email = crm::email(NAME, &event)?;
    let (fields, extras) = crm::person(mapping, &event, push, (TEXT_MAX, crm::cut), attribute)?;
    let mut profile = Json::object([("email", Json::string(&email))]);
    if let Json::Object(members) = fields {
        members.into_iter().for_each(|(target, value)| put(&mut profile, &target.decode(), value));
    }
    let mut plan = Json::object([("profile", profile), ("event", enquiry(settings, &event, push))]);
    crm::put_extras(&mut plan, extras);
    Ok(plan)
}

/// A mapped field as an attribute or property of a profile.
fn attribute(target: &str, value: &Json) -> Option<Json> {
    let value = match (target, value.as_str()) {
        // It is there already.
        ("email", _) => return None,
        ("phone_number", Some(phone)) => Json::string(&e164(&phone)?),
        _ => value.clone(),
    };
    let is_property = config::place(target).is_some_and(|place| place.len() > 1);
    Some(if is_property { value } else { Json::string(&crm::text(&value)) })
}

/// Puts it where it stands in a profile.
fn put(profile: &mut Json, target: &str, value: Json) {
    match config::place(target).as_deref() {
        Some([attribute]) => profile.insert(usize::MAX, attribute, value),
        Some([part, name]) => {
            let mut whole = profile.get(part).cloned().unwrap_or(Json::Object(Vec::new()));
            whole.insert(usize::MAX, name, value);
            profile.insert(usize::MAX, part, whole);
        }
        _ => {}
    }
}

/// The enquiry as the attributes of an event. What it is known by is the same on every repeat, and Klaviyo records the
/// first of those that are known by the same.
fn enquiry(settings: &Config, event: &Json, push: &Push<'_>) -> Json {
    let is_update = push.event == EventKind::Updated;
    let metric = if is_update { &settings.metric_updated } else { &settings.metric };
    let mut properties = Json::Object(Vec::new());
    for line in told::lines_of(event, push.telling) {
        properties.insert(usize::MAX, &line.label, Json::string(&crm::cut(&line.value, TEXT_MAX)));
    }
    let metric = Json::object([("name", Json::string(metric))]);
    let mut told = Json::object([
        ("unique_id", Json::string(push.first_id())),
        ("time", Json::string(&crm::utc(push.now))),
        ("metric", Json::object([("data", resource("metric", [("attributes", metric)]))])),
        ("properties", properties),
    ]);
    let currency = event.at("quote.currency").and_then(Json::as_str).unwrap_or_default().to_uppercase();
    if let Some(total) = event.at("quote.total_pence").and_then(Json::as_integer) {
        told.insert(usize::MAX, "value", Json::Number(money::decimal(total, &currency).into()));
        if !currency.is_empty() {
            told.insert(usize::MAX, "value_currency", Json::string(&currency));
        }
    }
    told
}

/// `+447700900123` of `+44 (0) 7700 900123`. None without the country: no guess is sent.
fn e164(phone: &str) -> Option<String> {
    let phone = phone.replace("(0)", "");
    let rest = phone.trim().strip_prefix('+')?;
    let digits: String = rest.chars().filter(|character| !" -().\u{a0}/".contains(*character)).collect();
    let is_one = (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| format!("+{digits}"))
}

fn resource<const N: usize>(kind: &str, members: [(&str, Json); N]) -> Json {
    let mut resource = Json::object([("type", Json::string(kind))]);
    for (key, value) in members {
        resource.insert(usize::MAX, key, value);
    }
    resource
}

/// How somebody stands with the marketing of an account.
#[derive(Debug, PartialEq, Eq)]
enum Subscription {
    New,
    Subscribed,
    /// They left, bounced or complained, in Klaviyo's word.
    Away(String),
}

impl Subscription {
    /// As a profile tells it. Who is not known to be new is not subscribed.
    fn of(profile: &Value, list: &str) -> Self {
        let email = &profile["data"]["attributes"]["subscriptions"]["email"]["marketing"];
        let all = email["suppression"].as_array().into_iter().flatten();
        let here = email["list_suppressions"].as_array().into_iter().flatten();
        let mut away = all.chain(here.filter(|suppression| suppression["list_id"] == list));
        if let Some(reason) = away.next() {
            return Self::Away(reason["reason"].as_str().unwrap_or("suppressed").to_owned());
        }
        match email["consent"].as_str() {
            Some("SUBSCRIBED") => Self::Subscribed,
            Some("NEVER_SUBSCRIBED" | "NEVER SUBSCRIBED") => Self::New,
            Some(other) => Self::Away(other.to_owned()),
            None => Self::Away("no consent status".to_owned()),
        }
    }
}

impl Compiled {
    /// The profile, then the subscription, then the event: each may be asked for again and is there once.
    pub(super) async fn bring(
        &self,
        push: &Push<'_>,
        mut plan: Json,
        ctx: &mut Conversation<'_>,
    ) -> Result<()> {
        let told = format!("event.{}", push.id);
        if ctx.id(&told).is_some() {
            return Ok(());
        }
        let email = plan.at("profile.email").map(crm::text).unwrap_or_default();
        let mut all = plan.get("profile").cloned().unwrap_or(Json::Null);
        let mut is_made = false;
        if crm::has_extras(&plan) {
            let there = self.there(&email, ctx).await?;
            is_made = there.is_none();
            let is_read = |target: &str| LOOK.split(',').any(|name| name == target);
            for (target, value) in crm::take_extras(&mut plan, there.as_ref(), is_read) {
                put(&mut all, &target, value);
            }
        }
        let written = Written::of(push, ctx).unless(is_made);
        let mut news = written.news(&all);
        news.insert(0, "email", all.get("email").cloned().unwrap_or(Json::Null));
        let mut answer = self.import(&news, ctx).await?;
        // One that took the place of the known one is told all.
        let imported = answer.json().and_then(|body| id_of(&body["data"]["id"]));
        if !written.is_empty() && imported != ctx.id("profile") {
            answer = self.import(&all, ctx).await?;
        }
        let body = answer.json().unwrap_or_default();
        let Some(profile) = id_of(&body["data"]["id"]) else {
            // Asking again changes the same profile, so nothing is made twice.
            return Err(unread(NAME, &answer, "profile id"));
        };
        let may_join = ctx.may_join(push, "profile", Some(&profile)).await;
        ctx.keep(&[("profile", &profile)]).await;
        written::keep(&all, ctx).await;
        // A profile that was deleted and made anew has not been asked.
        let asked = format!("{profile} {email}");
        match Subscription::of(&body, &self.settings.list_id) {
            Subscription::Away(reason) => ctx.note(format!("not subscribed, as Klaviyo says {reason}")),
            Subscription::New if ctx.id(SUBSCRIBED).as_ref() == Some(&asked) => {}
            Subscription::New => {
                VENDOR.good(ctx, self.subscribe(&profile, &email)).await?;
                // A list that asks for confirmation sends its mail once, whatever changes later.
                ctx.keep(&[(SUBSCRIBED, &asked)]).await;
            }
            Subscription::Subscribed if !may_join => {}
            Subscription::Subscribed => {
                let of = Json::Array(vec![resource("profile", [("id", Json::string(&profile))])]);
                let path = ["lists", &self.settings.list_id, "relationships", "profiles"];
                self.done(self.post(&path, of), &profile, ctx).await?;
            }
        }
        ctx.joined().await;
        // The specification asks for attributes, though the id says it all.
        let of = [("id", Json::string(&profile)), ("attributes", Json::Object(Vec::new()))];
        let of = resource("profile", of);
        let mut event = plan.get("event").cloned().unwrap_or(Json::Null);
        event.insert(usize::MAX, "profile", Json::object([("data", of)]));
        let event = self.post(&["events"], resource("event", [("attributes", event)]));
        self.done(event, &profile, ctx).await?;
        ctx.keep(&[(&told, push.first_id())]).await;
        Ok(())
    }

    /// A call about the profile, which somebody may have deleted or merged since it was written: the next attempt writes it
    /// anew.
    async fn done(&self, request: Request, profile: &str, ctx: &mut Conversation<'_>) -> Result<()> {
        let answer = ctx.send(request).await?;
        if answer.is_one_of(&[400, 404]) {
            let there = ctx.send(self.get(&["profiles", profile], &[("fields[profile]", "email")])).await?;
            if there.status == 404 {
                return Err(gone(NAME, "profile"));
            }
        }
        VENDOR.checked(answer, ctx.now).map(drop)
    }

    /// What is known of who has this address; none if nobody has it yet. Pushes for one person wait for each other. The list
    /// of profiles may lag behind what the last of them wrote, seconds ago: whoever another lead made then is new to sales,
    /// too. Whom this one made is not, and that is asked by the profile's id, which does not lag.
    async fn there(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<Value>> {
        ctx.lock_person(email).await;
        let filter = format!("equals(email,{})", Json::string(email));
        let wanted = ("fields[profile]", LOOK);
        let query = [("filter", filter.as_str()), ("page[size]", "1"), wanted];
        let mut listed = VENDOR.listed(ctx, self.get(&["profiles"], &query), "data").await?;
        if let Some(mut one) = listed.pop() {
            return Ok(Some(one["attributes"].take()));
        }
        let Some(known) = ctx.id("profile") else { return Ok(None) };
        let answer = ctx.send(self.get(&["profiles", &known], &[wanted])).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let attributes = VENDOR.read(&answer, ctx.now)?["data"]["attributes"].take();
        let is_own = word(&attributes, "email").is_some_and(|own| own.eq_ignore_ascii_case(email));
        Ok(is_own.then_some(attributes))
    }

    /// Writes the profile. An attribute that Klaviyo refuses keeps nobody out: it is left out, and noted.
    async fn import(&self, profile: &Json, ctx: &mut Conversation<'_>) -> Result<Response> {
        let write = |profile: &Json| self.write(profile);
        VENDOR
            .checked(without_refused(profile, ("", ["email", ""]), error::flaws, write, ctx).await?, ctx.now)
    }

    fn write(&self, profile: &Json) -> Request {
        let data = resource("profile", [("attributes", profile.clone())]);
        self.post(&["profile-import"], data).query(&[("additional-fields[profile]", "subscriptions")]).long()
    }

    fn subscribe(&self, profile: &str, email: &str) -> Request {
        let consent = json!({"email": {"marketing": {"consent": "SUBSCRIBED"}}});
        let attributes = json!({"email": email, "subscriptions": consent});
        let who = json!({"type": "profile", "id": profile, "attributes": attributes});
        let list = json!({"type": "list", "id": self.settings.list_id});
        let job = json!({"type": "profile-subscription-bulk-create-job",
            "attributes": {"custom_source": self.source, "profiles": {"data": [who]}},
            "relationships": {"list": {"data": list}}});
        self.post(&["profile-subscription-bulk-create-jobs"], Json::from(&job))
    }
}
