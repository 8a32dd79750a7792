//! What the daemon told us, in our own types: unknown words are kept apart from known ones here, once.

use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

/// The health of an integration in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Badge {
    /// Deliveries are dead or exhausted.
    Failing,
    /// The target refused our login.
    Credentials,
    /// The last push failed and an automatic retry follows.
    Retrying,
    /// A word this console does not know.
    Unknown,
    /// Pushes are switched off.
    Disabled,
    /// Nothing is wrong.
    Ok,
}

impl Badge {
    /// Every badge, worst first.
    pub const ALL: [Self; 6] =
        [Self::Failing, Self::Credentials, Self::Retrying, Self::Unknown, Self::Disabled, Self::Ok];

    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "failing" => Self::Failing,
            "credentials" => Self::Credentials,
            "retrying" => Self::Retrying,
            "disabled" => Self::Disabled,
            "ok" => Self::Ok,
            _ => Self::Unknown,
        }
    }

    /// The word shown beside the glyph; the worst one shouts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failing => "FAILING",
            Self::Credentials => "CREDENTIALS",
            Self::Retrying => "retrying",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Ok => "ok",
        }
    }

    /// Whether an operator should look.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failing | Self::Credentials)
    }
}

/// One configured target with its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    pub id: String,
    pub name: String,
    pub company: String,
    pub connector: String,
    pub enabled: bool,
    pub badge: Badge,
    pub last_pushed_at: Option<Timestamp>,
    pub failures: u64,
    pub last_error: String,
    pub last_error_at: Option<Timestamp>,
    pub dead: u64,
    pub held: u64,
    pub pending: u64,
    pub next_retry_at: Option<Timestamp>,
    pub throttled_until: Option<Timestamp>,
    /// Set while an old signing secret is still accepted.
    pub grace_until: Option<Timestamp>,
    /// 0 if the connector signs nothing.
    pub secret_version: u32,
    /// The version of the secret that waits for a cut over; 0 for none.
    pub staged_version: u32,
    /// Nothing is pushed until then.
    pub awaits_cut_over: bool,
    /// Nothing is pushed for its company.
    pub paused: bool,
}

/// How a new signing secret comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It signs at once; the old one stays for so many seconds.
    Now { grace_seconds: u32 },
    /// It goes along until cut over; with hold, nothing is pushed meanwhile.
    Staged { hold: bool },
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    Running,
    Delivered,
    Failed,
    Unknown,
}

impl AttemptState {
    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "delivered" => Self::Delivered,
            "failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// The word shown beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One numbered try of a delivery, as a row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    /// Empty for a test, which belongs to no delivery.
    pub delivery: String,
    pub lead: String,
    pub number: u32,
    pub trigger: String,
    pub state: AttemptState,
    pub status: Option<u32>,
    pub class: String,
    pub error: String,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<u32>,
    pub event: String,
}

/// What was sent in an attempt and what came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub method: String,
    pub url: String,
    pub request_headers: Vec<(String, String)>,
    pub request_body: Vec<u8>,
    pub response_headers: Vec<(String, String)>,
    pub response_body: Vec<u8>,
    pub response_bytes: u64,
    pub secret_version: u32,
    pub mapping_version: u32,
    pub operator: String,
    /// Each call in order, as it was made; what stands above is the last one's.
    pub calls: Vec<Call>,
    /// What is to be known of it though it did not fail.
    pub note: String,
}

/// A call of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub url: String,
    pub request_headers: Vec<(String, String)>,
    pub request_body: String,
    /// None if nothing came back.
    pub status: Option<u32>,
    pub response_headers: Vec<(String, String)>,
    pub response_body: String,
    pub duration_ms: u32,
    /// Why nothing came back.
    pub error: String,
}

/// How it stands with the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conn {
    Connecting,
    Live,
    Lost {
        error: String,
        retry_at: Timestamp,
        attempt: u32,
    },
    /// The daemon answers, but not to what this console asks.
    Incompatible(String),
    /// The daemon does not let us in.
    Denied(String),
}

/// A secret that is wiped when dropped and that no debug print shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over without copying it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself: to be drawn, copied or saved, never to be logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What to do with held deliveries when an integration is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Keep,
    Release,
    Skip,
}

impl Held {
    /// The word of the control API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Release => "release",
            Self::Skip => "skip",
        }
    }
}

/// Which deliveries to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// These, whatever their state.
    Deliveries(Vec<String>),
    /// Every dead one of the integration.
    DeadOf { integration: String },
}

/// A change an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    Retry(Retry),
    Enable { integration: String, held: Held },
    Disable { integration: String },
    Test { integration: String },
    Reset { integration: String },
    Rotate { integration: String, entry: Entry },
    CutOver { integration: String },
    Revoke { integration: String },
}

/// The answer to a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Retried {
        count: u64,
    },
    Enabled {
        integration: Integration,
        held: u64,
    },
    Changed(Integration),
    Tested {
        state: AttemptState,
        status: Option<u32>,
        duration_ms: Option<u32>,
        error: String,
    },
    /// Without a secret if the daemon had answered this request before, or the answer was lost on the way.
    Rotated {
        integration: Integration,
        secret: Option<Secret>,
    },
}

/// What a dry run of a retry says.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub count: u64,
    pub seconds: f64,
}
