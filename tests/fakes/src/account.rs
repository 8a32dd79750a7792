//! What everybody who goes through all vendors knows of each: how an integration with it is made, what it keeps of leads,
//! and what people and administrators do there. A vendor's entry stands in `account.rs` beside its fake.

use std::{any::Any, collections::BTreeMap, fmt, future::Future, io, pin::Pin, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    receiver::Reply,
    vendor::{Act, Chaos, Fake, Vendor},
};

/// What an integration is made with.
#[derive(Clone, Debug)]
pub struct Connection {
    pub config: Value,
    pub credentials: Value,
}

/// Something that a vendor keeps, as people see it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the vendor calls it: `contact`, `note`.
    pub kind: &'static str,
    pub id: String,
    /// Whose it is, as an address or a lead's uuid in lower case; none of a text, which names its lead itself.
    pub of: Option<String>,
    /// What stands in it. Names, phone, owner and status, and of deals pipeline, stage and value, are called so at every
    /// vendor, the rest as the vendor calls it.
    pub fields: BTreeMap<String, String>,
}

impl Record {
    /// A record of somebody or of a lead.
    pub fn new(kind: &'static str, id: impl fmt::Display, of: impl AsRef<str>) -> Self {
        let of = Some(of.as_ref().to_lowercase());
        Self { kind, id: id.to_string(), of, fields: BTreeMap::new() }
    }

    /// A text that people or programs were sent.
    pub fn text(kind: &'static str, id: impl fmt::Display, text: &str) -> Self {
        // Chats escape dots and other marks.
        let fields = BTreeMap::from([("text".to_owned(), text.replace('\\', ""))]);
        Self { kind, id: id.to_string(), of: None, fields }
    }

    /// Such texts, numbered as they came.
    pub fn texts<T: fmt::Display>(kind: &'static str, texts: &[T]) -> Vec<Self> {
        texts.iter().enumerate().map(|(n, text)| Self::text(kind, n, &text.to_string())).collect()
    }

    /// With a field, unless it is blank.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let text = match value.into() {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        if !text.is_empty() {
            self.fields.insert(name.to_owned(), text);
        }
        self
    }

    /// With these fields under the vendor's names, but for those that are called alike everywhere: (the vendor's, ours).
    #[must_use]
    pub fn with_all<'a>(
        mut self,
        fields: impl IntoIterator<Item = (&'a String, Value)>,
        alike: &[(&str, &str)],
    ) -> Self {
        for (name, value) in fields {
            let ours =
                alike.iter().find(|(vendors, _)| vendors == name).map_or(name.as_str(), |(_, ours)| ours);
            self = self.with(ours, value);
        }
        self
    }
}

/// The members of an object that a vendor keeps.
pub fn members(object: &Map<String, Value>) -> impl Iterator<Item = (&String, Value)> {
    object.iter().map(|(name, value)| (name, value.clone()))
}

/// What people do to every record of leads between two pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Sales corrects the phone.
    Correct,
    /// Sales corrects the name.
    Rename,
    ChangeOwner,
    Close,
    /// Sales moves what it comes to on: a deal's stage and value, somebody's status in a campaign.
    Move,
    /// A customer is made of it.
    Convert,
    Archive,
    /// It is merged into another, which holds its address from now on.
    Merge,
    Delete,
    /// They unsubscribe, or complain.
    Leave,
}

impl Deed {
    /// The phone that sales knows better.
    pub const PHONE: &str = "+442079461111";
    /// What sales calls them.
    pub const NAME: &str = "Sarah Patel-Jones";
    /// The last word of it.
    pub const LAST_NAME: &str = "Patel-Jones";
    /// What sales knows a deal to be worth.
    pub const VALUE: u32 = 9_999;
    /// The owner that the records get.
    pub const OWNER: &str = "Ada";
}

/// What an administrator sets up that stands in a lead's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A field of their own must be filled.
    Required,
    /// A field takes a few words only, and the lead says another.
    Choice,
    /// A field takes less than the lead says.
    Short,
    /// A field is written by the vendor alone.
    ReadOnly,
    /// A second record of one address or number is refused.
    Duplicate,
}

/// Settings that name what an account has, others that do not, and what a look finds of these.
pub type Misnamed = (Value, Value, Vec<&'static str>);

/// An account at a vendor.
pub trait Account {
    /// The connector that pushes to it.
    fn connector(&self) -> &'static str;
    /// What an integration with it is made with, if all is called at this URL.
    fn connection(&self, url: &str) -> Connection;
    /// Everything that it keeps of leads.
    fn records(&self) -> Vec<Record>;
    /// Whether it is told of leads in texts, and keeps no record of anybody.
    fn is_told(&self) -> bool {
        false
    }
    /// More that lets callers in, for who tries it by hand.
    fn keys(&self) -> Value {
        Value::Null
    }
    /// Learns where it stands, which some vendors tell their callers.
    fn stands_at(&mut self, url: &str) {
        let _ = url;
    }
    /// Settings that make pushes go another way, beside those of the connection.
    fn ways(&self) -> Vec<Value> {
        Vec::new()
    }
    /// What it says when a call is to be made again later.
    fn later(&self) -> Vec<Reply> {
        vec![Reply::status(429).header("Retry-After", "1")]
    }
    /// How many calls it refused because they were one too many.
    fn refused(&self) -> usize {
        0
    }
    /// Leadline makes so many calls at most in any stretch of so much time.
    fn pace(&self) -> Option<(usize, Duration)> {
        None
    }
    /// Takes as many calls as come, for who pushes without keeping a pace.
    fn lift_quotas(&mut self) {}
    /// Works as slowly as in daily life: calls take their time, and searches lag behind.
    fn slow_down(&mut self) {}
    /// Ends every login; whether there is any.
    fn end_logins(&mut self) -> bool {
        false
    }
    /// What a mapping to its own fields has beyond the default, an administrator having made such; null if its schema
    /// cannot be read.
    fn proposed(&mut self) -> Value {
        Value::Null
    }
    /// Where its records have somebody's company, position and website; blank where they have no field for it.
    fn work(&self) -> [&'static str; 3] {
        [""; 3]
    }
    /// The field by which a mapping says whose a record is, and the id of somebody who may own one.
    fn owner(&self) -> Option<(&'static str, Value)> {
        None
    }
    /// The field that phones go to, where a mapping may write it to new records alone.
    fn phone_of_new(&self) -> Option<&'static str> {
        None
    }
    /// Settings that name what the account has, others that do not, and what a look finds of these.
    fn misnamed(&self) -> Vec<Misnamed> {
        Vec::new()
    }
    /// Settings that put people somewhere beside their record, and where: lists, campaigns, groups, tags.
    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        None
    }
    /// Where somebody was put.
    fn places(&self) -> Vec<String> {
        Vec::new()
    }
    /// Sales takes everybody out of there.
    fn take_out(&mut self) {}
    /// Gets so many users that the one who may own a record is not on the first page of their list.
    fn crowd(&mut self) {}
    /// Lets people do this to all records; whether they can there.
    fn suffer(&mut self, deed: Deed) -> bool {
        let _ = deed;
        false
    }
    /// Sets this up; the mapping and the settings that a lead meets it with, if there is such a thing.
    fn set(&mut self, rule: Rule) -> Option<Trap> {
        let _ = rule;
        None
    }
}

/// With what a lead meets a rule.
#[derive(Clone, Debug, Default)]
pub struct Trap {
    pub mapping: Value,
    pub config: Value,
}

impl Trap {
    /// A field of the lead's, or a constant, that is mapped to a target.
    #[must_use]
    pub fn mapped(from: &str, to: impl Into<Value>) -> Option<Self> {
        Some(Self { mapping: Map::from_iter([(from.to_owned(), to.into())]).into(), ..Self::default() })
    }

    /// What the lead wishes, said twice, so that it is longer than any one text that a sender gives.
    #[must_use]
    pub fn long(to: impl Into<Value>) -> Option<Self> {
        let (to, twice): (Value, _) = (to.into(), r#"{{ lead["wishes"] }}{{ lead["wishes"] }}"#);
        Self::mapped("lead.wishes", json!({"to": to, "value": twice}))
    }

    /// Nothing but the rule itself.
    #[must_use]
    pub fn bare() -> Option<Self> {
        Some(Self::default())
    }
}

/// What looks at an account, and may change it.
pub type Inspector<'a> = &'a mut dyn FnMut(&mut dyn Account);

/// An account that is open: it listens until it is dropped.
pub trait OpenAccount: Any + Send + Sync {
    /// Where everything is called.
    fn url(&self) -> String;
    /// Looks at the account, or changes it.
    fn look(&self, inspector: Inspector<'_>);
    /// Lets calls go wrong as this says.
    fn disturb(&self, chaos: Option<Chaos>);
    /// Lets people act when so many more calls have been answered, before the next.
    fn meanwhile(&self, calls: usize, act: Act<dyn Account>) {
        let _ = (calls, act);
    }
    /// `METHOD /path?query` of every call so far.
    fn calls(&self) -> Vec<String>;
    /// The most calls in any stretch of so much time.
    fn busiest(&self, window: Duration) -> usize;
}

impl dyn OpenAccount {
    /// Looks at the account, or changes it.
    pub fn with<R>(&self, look: impl FnOnce(&mut dyn Account) -> R) -> R {
        let (mut look, mut seen) = (Some(look), None);
        self.look(&mut |account| seen = look.take().map(|look| look(account)));
        seen.unwrap_or_else(|| unreachable!("an account is looked at once"))
    }

    /// The connector that pushes to it.
    #[must_use]
    pub fn connector(&self) -> &'static str {
        self.with(|account| account.connector())
    }

    /// What an integration with it is made with.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let url = self.url();
        self.with(|account| account.connection(&url))
    }

    /// Everything that it keeps of leads.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.with(|account| account.records())
    }

    /// The fake itself, where it is this one.
    #[must_use]
    pub fn of<T: OpenAccount>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

impl fmt::Debug for dyn OpenAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAccount").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl<V: Vendor + Account> OpenAccount for Fake<V> {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn look(&self, inspector: Inspector<'_>) {
        self.with(|vendor| inspector(vendor));
    }

    fn disturb(&self, chaos: Option<Chaos>) {
        self.chaos(chaos);
    }

    fn meanwhile(&self, calls: usize, act: Act<dyn Account>) {
        Self::meanwhile(self, calls, Box::new(move |vendor| act(vendor)));
    }

    fn calls(&self) -> Vec<String> {
        Self::calls(self)
    }

    fn busiest(&self, window: Duration) -> usize {
        Self::busiest(self, window)
    }
}

/// An account on its way to be open.
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn OpenAccount>>> + Send>>;

/// Opens an account at a vendor that is called over HTTP.
pub(crate) fn open<V: Vendor + Account>(vendor: V) -> Opening {
    Box::pin(async move {
        let fake = Fake::start(vendor).await?;
        let url = fake.url();
        fake.with(|vendor| vendor.stands_at(&url));
        Ok(Box::new(fake) as Box<dyn OpenAccount>)
    })
}
