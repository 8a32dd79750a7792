//! A push to Klaviyo: the profile, the subscription of who never had one, the event.

use serde_json::Value;

use super::{
    NAME, Ready, VENDOR,
    config::{self, Config},
    error,
};
use crate::{
    Conversation, Push, Request, Response, Result, crm, told,
    vendor::{id_of, unread, without_refused, word},
    written::{self, Written},
};
use leadline_domain::{integration::EventKind, json::Json, mapping::Mapping, money};

/// The longest text of an attribute or property, in UTF-16 units: ours, as Klaviyo names none but 100 KB for all.
const TEXT_MAX: usize = 2_000;
/// Under which the address is kept that a subscription was asked for.
const SUBSCRIBED: &str = "_subscribed";

/// What all calls are made from: the attributes of the profile, those of one that is new if they differ, and the event's.
pub(super) fn plan(mapping: &Mapping, settings: &Config, push: &Push<'_>) -> Result<Json> {
    let event = crm::consented(NAME, push)?;
    let email = crm::email(NAME, &event)?;
    let fields = crm::person_fields(mapping, &event, push)?;
    let (for_new, fields): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|(target, _)| mapping.is_for_new(target));
    let profile = profile_of(&email, &fields);
    let mut plan = Json::object([("profile", profile), ("event", enquiry(settings, &event, push))]);
    if !for_new.is_empty() {
        plan.insert(1, "new", profile_of(&email, &[fields, for_new].concat()));
    }
    Ok(plan)
}

/// The attributes of a profile that the mapped fields make.
fn profile_of(email: &str, fields: &[(String, Json)]) -> Json {
    let mut profile = Json::object([("email", Json::string(email))]);
    for (target, value) in fields.iter().filter(|(target, _)| target != "email") {
        let value = match (target.as_str(), value.as_str()) {
            ("phone_number", Some(phone)) => match e164(&phone) {
                Some(phone) => Json::string(&phone),
                None => continue,
            },
            (_, Some(text)) => Json::string(&crm::cut(&text, TEXT_MAX)),
            (_, None) => value.clone(),
        };
        match config::place(target).as_deref() {
            Some([attribute]) => profile.insert(usize::MAX, attribute, Json::string(&crm::text(&value))),
            Some([part, name]) => {
                let mut whole = profile.get(part).cloned().unwrap_or(Json::Object(Vec::new()));
                whole.insert(usize::MAX, name, value);
                profile.insert(usize::MAX, part, whole);
            }
            _ => {}
        }
    }
    profile
}

/// The enquiry as the attributes of an event. What it is known by is the same on every repeat, and Klaviyo records the
/// first of those that are known by the same.
fn enquiry(settings: &Config, event: &Json, push: &Push<'_>) -> Json {
    let metric = match push.event {
        EventKind::Updated => &settings.metric_updated,
        EventKind::Created | EventKind::Test | EventKind::Notice(_) => &settings.metric,
    };
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
enum Standing {
    New,
    Subscribed,
    /// They left, bounced or complained, in Klaviyo's word.
    Away(String),
}

impl Standing {
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

impl Ready {
    /// The profile, then the subscription, then the event: each may be asked for again and is there once.
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Json, ctx: &mut Conversation<'_>) -> Result<()> {
        let told = format!("event.{}", push.id);
        if ctx.id(&told).is_some() {
            return Ok(());
        }
        let email = plan.at("profile.email").map(crm::text).unwrap_or_default();
        let new = match plan.get("new") {
            Some(new) if self.is_new(&email, ctx).await? => Some(new),
            _ => None,
        };
        let written = Written::of(push, ctx).unless(new.is_some());
        let all = new.or(plan.get("profile")).cloned().unwrap_or(Json::Null);
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
        ctx.keep(&[("profile", &profile)]).await;
        written::keep(&all, ctx).await;
        match Standing::of(&body, &self.settings.list_id) {
            Standing::Away(reason) => ctx.note(format!("not subscribed, as Klaviyo says {reason}")),
            Standing::New if ctx.id(SUBSCRIBED).as_ref() == Some(&email) => {}
            Standing::New => {
                VENDOR.good(ctx, self.subscribe(&profile, &email)).await?;
                // A list that asks for confirmation sends its mail once, whatever changes later.
                ctx.keep(&[(SUBSCRIBED, &email)]).await;
            }
            Standing::Subscribed => {
                let of = Json::Array(vec![resource("profile", [("id", Json::string(&profile))])]);
                let path = ["lists", &self.settings.list_id, "relationships", "profiles"];
                VENDOR.good(ctx, self.post(&path, of)).await?;
            }
        }
        // The specification asks for attributes, though the id says it all.
        let of = [("id", Json::string(&profile)), ("attributes", Json::Object(Vec::new()))];
        let of = resource("profile", of);
        let mut event = plan.get("event").cloned().unwrap_or(Json::Null);
        event.insert(usize::MAX, "profile", Json::object([("data", of)]));
        VENDOR.good(ctx, self.post(&["events"], resource("event", [("attributes", event)]))).await?;
        ctx.keep(&[(&told, push.first_id())]).await;
        Ok(())
    }

    /// Whether nobody has this address yet. Pushes for one person wait for each other. The list of profiles may lag behind
    /// what the last of them wrote, seconds ago: whoever another lead made then is new to sales, too. Whom this one made is
    /// not, and that is asked by the profile's id, which does not lag.
    async fn is_new(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<bool> {
        ctx.lock_person(email).await;
        let filter = format!("equals(email,{})", Json::string(email));
        let query = [("filter", filter.as_str()), ("page[size]", "1"), ("fields[profile]", "email")];
        let is_new = VENDOR.listed(ctx, self.get(&["profiles"], &query), "data").await?.is_empty();
        let Some(known) = ctx.id("profile").filter(|_| is_new) else { return Ok(is_new) };
        let answer = ctx.send(self.get(&["profiles", &known], &query[2..])).await?;
        let is_own = |own: &str| own.eq_ignore_ascii_case(email);
        let read = || VENDOR.read(&answer, ctx.now);
        Ok(answer.status == 404 || !word(&read()?["data"]["attributes"], "email").is_some_and(is_own))
    }

    /// Writes the profile. An attribute that Klaviyo refuses keeps nobody out: it is left out, and noted.
    async fn import(&self, profile: &Json, ctx: &mut Conversation<'_>) -> Result<Response> {
        let write = |profile: &Json| self.write(profile);
        VENDOR.checked(without_refused(profile, "", error::refused, write, ctx).await?, ctx.now)
    }

    fn write(&self, profile: &Json) -> Request {
        let data = resource("profile", [("attributes", profile.clone())]);
        self.post(&["profile-import"], data).query(&[("additional-fields[profile]", "subscriptions")])
    }

    fn subscribe(&self, profile: &str, email: &str) -> Request {
        let consent = Json::object([("consent", Json::string("SUBSCRIBED"))]);
        let channels = Json::object([("email", Json::object([("marketing", consent)]))]);
        let attributes = Json::object([("email", Json::string(email)), ("subscriptions", channels)]);
        let who = resource("profile", [("id", Json::string(profile)), ("attributes", attributes)]);
        let list = resource("list", [("id", Json::string(&self.settings.list_id))]);
        let job = resource(
            "profile-subscription-bulk-create-job",
            [
                (
                    "attributes",
                    Json::object([
                        ("custom_source", Json::string(&self.source)),
                        ("profiles", Json::object([("data", Json::Array(vec![who]))])),
                    ]),
                ),
                ("relationships", Json::object([("list", Json::object([("data", list)]))])),
            ],
        );
        self.post(&["profile-subscription-bulk-create-jobs"], job)
    }
}
