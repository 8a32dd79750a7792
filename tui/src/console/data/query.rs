//! What the console can ask the daemon, and what it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::attempt::Attempt;
use super::integration::{Figures, Proposal};
use super::lead::Searched;
use super::{
    Activity, Cause, Company, CompanyPage, Delivery, Detail, Estimate, Flow, Job, Lead, LeadPage, Mutation,
    System,
};

/// Which deliveries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only of this company.
    pub company: Option<i64>,
    pub integration: String,
    pub cause: String,
    pub job: String,
    pub states: Vec<&'static str>,
}

/// A question; none of them changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// What went over the wire in an attempt.
    Detail {
        attempt: String,
    },
    /// The dry run of a bulk change.
    Estimate(Box<Mutation>),
    Deliveries {
        which: DeliveryQuery,
        after: String,
    },
    OlderAttempts {
        integration: String,
        after: String,
    },
    Find {
        text: String,
        company: Option<i64>,
    },
    /// Which of the newest leads say a text anywhere, behind those that were looked through.
    FindAnywhere {
        text: String,
        company: Option<i64>,
        after: String,
    },
    Lead {
        uuid: String,
        company: i64,
    },
    /// The lead of a delivery.
    LeadOf {
        delivery: String,
    },
    /// Who a lead is, where people are masked: this is audited.
    Reveal {
        uuid: String,
        company: i64,
    },
    /// A lead's history as a document for a ticket.
    Evidence {
        uuid: String,
        company: i64,
        json: bool,
        mask: bool,
    },
    Causes {
        company: Option<i64>,
        /// Those too that are off the list for a while.
        snoozed: bool,
    },
    /// Those of one company are about no other.
    Jobs {
        company: Option<i64>,
        after: String,
    },
    Activity {
        company: Option<i64>,
        after: String,
    },
    System,
    /// What integrations came to, of a company or of all.
    Figures {
        company: Option<i64>,
    },
    Companies,
    Company {
        id: i64,
    },
    /// The company of a flow.
    CompanyOf {
        flow: String,
    },
    /// What an integration would push, with a mapping that is not saved yet.
    Preview {
        integration: String,
        lead: String,
        mapping: Option<String>,
    },
    /// What the last check with the target found that could be added to a mapping.
    Proposals {
        integration: String,
    },
    /// What integrations can be made of.
    Connectors,
    Flows {
        company: i64,
    },
    /// A condition asked about the last leads.
    TestFlow {
        flow: String,
        when: String,
    },
}

/// Asked while typing or moving: only the last wish of a kind counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    Detail,
    Find,
    /// Takes seconds: finding as one types waits for none of it.
    FindAnywhere,
    Preview,
    TestFlow,
    Lead,
}

impl Query {
    /// The kind of which one is under way at a time; `None` for what is always asked.
    pub const fn stream(&self) -> Option<Stream> {
        match self {
            Self::Detail { .. } => Some(Stream::Detail),
            Self::Find { .. } => Some(Stream::Find),
            Self::FindAnywhere { .. } => Some(Stream::FindAnywhere),
            Self::Preview { .. } => Some(Stream::Preview),
            Self::TestFlow { .. } => Some(Stream::TestFlow),
            Self::Lead { .. } | Self::LeadOf { .. } => Some(Stream::Lead),
            _ => None,
        }
    }
}

/// A rendered push that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The canonical event, JSON.
    pub canonical: Vec<u8>,
    pub request: String,
    pub body: Vec<u8>,
    /// What all requests are made from; empty where the first one says all of it.
    pub plan: Vec<u8>,
    /// Why nothing would be sent, or what the target's schema says against it; empty if it fits.
    pub error: String,
}

/// What leads a condition would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTest {
    pub tested: u32,
    pub sent: u32,
    pub kept_away: u32,
    pub failed: u32,
    pub error: String,
}

/// A kind of target, and what one of it is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    pub name: String,
    pub summary: String,
    pub config: Vec<Field>,
    pub credentials: Vec<Field>,
}

/// A field of a configuration or of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// text | integer | number | object
    pub kind: String,
    pub help: String,
    /// What holds if it is left out; empty for nothing.
    pub default: String,
    pub required: bool,
    /// Whether what is typed is shown as dots.
    pub secret: bool,
    /// What it may be, where that is one of a few words.
    pub words: Vec<String>,
}

/// What an answer has of a list that comes in pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// The token of the page behind it, empty for none.
    pub next: String,
    /// How far it was looked, where the page stopped before it was full.
    pub reached: Option<Timestamp>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The attempt as it is now, and what went over the wire.
    Detail(Box<(Attempt, Detail)>),
    Estimate(Estimate),
    /// With the token of the next page, empty behind the last, and how far it was looked where that is not all yet.
    Deliveries {
        rows: Vec<Delivery>,
        next: String,
        reached: Option<Timestamp>,
    },
    Attempts(Vec<Attempt>),
    Leads {
        rows: Vec<Lead>,
        more: bool,
        /// Of a search anywhere.
        searched: Option<Searched>,
    },
    Lead(Box<LeadPage>),
    Document(String),
    Causes {
        rows: Vec<Cause>,
        snoozed: u64,
        more: bool,
    },
    /// With the token of the next page, empty behind the last.
    Jobs {
        rows: Vec<Job>,
        next: String,
    },
    /// Newest first, with the token of the next page, empty behind the last.
    Activity {
        rows: Vec<Activity>,
        next: String,
    },
    System(Box<System>),
    /// By integration.
    Figures(BTreeMap<String, Arc<Figures>>),
    Companies(Vec<Company>),
    Company(Box<CompanyPage>),
    Preview(Box<Preview>),
    Proposals(Vec<Proposal>),
    Connectors(Vec<Connector>),
    Flows(Vec<Flow>),
    FlowTest(FlowTest),
}

impl Answer {
    /// A page of deliveries, if it is one.
    pub fn deliveries(&self) -> Option<Page<Delivery>> {
        match self {
            Self::Deliveries { rows, next, reached } => {
                Some(Page { rows: rows.clone(), next: next.clone(), reached: *reached })
            }
            _ => None,
        }
    }

    /// A page of jobs, if it is one.
    pub fn jobs(&self) -> Option<Page<Job>> {
        match self {
            Self::Jobs { rows, next } => Some(Page { rows: rows.clone(), next: next.clone(), reached: None }),
            _ => None,
        }
    }
}
