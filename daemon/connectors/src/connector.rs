//! What a connector is before any integration uses it: as its folder writes it, with a configuration and credentials of
//! its own types, and as the rest of the daemon uses it.

use serde_json::Value;

use super::{
    Prepared, Result,
    config::{self, Common, ConfigField, Problem, Settings, joined},
    crm,
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, Policy},
    mapping::Mapping,
    outcome::Failure,
    schema::{self, Proposal, TargetField},
};

/// What a connector is, before anything is configured.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    pub name: &'static str,
    /// What a push does, in a sentence.
    pub summary: &'static str,
    /// Its own keys; the common ones (`timeout_seconds`, `concurrency`, …) are not repeated.
    pub fields: &'static [ConfigField],
    /// What its credentials consist of; none if it needs no login.
    pub credentials: &'static [ConfigField],
    /// Whether its mapping can be compared with the target's own fields.
    pub checks_mapping: bool,
    /// Whether its pushes are signed, so that an integration of it has a signing secret.
    pub signs: bool,
    /// Whether it can bring notices, which are about no lead: where they are signed, or for people to read.
    pub takes_notices: bool,
    /// Whether only leads that consented may be pushed: deliveries of the others are skipped.
    pub needs_consent: bool,
    /// The most pushes that may be in flight at once, whatever the configuration says.
    pub connections_max: Option<u32>,
    /// The mapping that the operator's is laid over.
    pub own_mapping: fn() -> Value,
    /// The target that the lead's address goes to as it is, where people are found by it.
    pub email_target: Option<&'static str>,
    /// Whether it knows of a record that it makes that it is new: then a mapping may keep a value for such.
    pub tells_new: bool,
}

impl Manifest {
    /// A connector of which nothing special is to be said.
    pub(crate) const fn new<T: TypedConnector>(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            fields: T::Config::FIELDS,
            credentials: T::Credentials::FIELDS,
            checks_mapping: false,
            signs: false,
            takes_notices: false,
            needs_consent: false,
            connections_max: None,
            own_mapping: || Value::Null,
            email_target: None,
            tells_new: false,
        }
    }

    /// A connector to records: new ones are known, and its mapping is laid over this one and compared with the schema.
    pub(crate) const fn of_records<T: TypedConnector>(
        name: &'static str,
        summary: &'static str,
        own_mapping: fn() -> Value,
    ) -> Self {
        Self { checks_mapping: true, tells_new: true, own_mapping, ..Self::new::<T>(name, summary) }
    }

    /// With the lead's address at this target, by which people are found.
    pub(crate) const fn found_by(self, target: &'static str) -> Self {
        Self { email_target: Some(target), ..self }
    }

    /// For leads that consented alone.
    pub(crate) const fn for_consent(self) -> Self {
        Self { needs_consent: true, ..self }
    }

    /// With so many pushes in flight at most.
    pub(crate) const fn connections(self, most: u32) -> Self {
        Self { connections_max: Some(most), ..self }
    }

    /// Whether it pushes the event itself, in the shape of the payload that an integration names. Others make a shape of
    /// their own out of it.
    #[must_use]
    pub const fn takes_payloads(&self) -> bool {
        self.signs
    }
}

/// A connector as its folder writes it.
pub trait TypedConnector: Send + Sync {
    type Config: Settings;
    type Credentials: Settings;

    /// What it is, before anything is configured.
    const MANIFEST: &'static Manifest;

    /// Reads the operator's mapping, laid over its own; says everything that is wrong with it.
    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        crm::read_mapping(&(Self::MANIFEST.own_mapping)(), operators)
    }

    /// What is wrong with a configuration whose keys are right, each for itself. A key that is wrong counts as absent
    /// here, and is told of already.
    fn problems(&self, config: &Self::Config, given: &Given<'_>) -> Vec<Problem> {
        let _ = (config, given);
        Vec::new()
    }

    /// What is wrong with credentials whose names and kinds are right. A sentence names keys, never values.
    fn credential_problems(&self, credentials: &Self::Credentials, egress: &EgressPolicy) -> Vec<Problem> {
        let _ = (credentials, egress);
        Vec::new()
    }

    /// What the account is known by whose quota is kept: integrations that name the same share it. It may tell
    /// credentials, and is kept as a hash.
    fn quota(&self, config: &Self::Config, common: &Common, credentials: &Value) -> String {
        let _ = config;
        format!("{} {credentials}", common.base().map_or("", url::Url::as_str))
    }

    /// Compiles an integration, once per version of it.
    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>>;
}

/// What a configuration is checked with.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    pub common: &'a Common,
    pub mapping: &'a Value,
    pub egress: &'a EgressPolicy,
    /// The brand under which the integration will push.
    pub brand: &'a str,
}

/// An integration to be compiled, its settings read.
pub struct Setup<'a, T: TypedConnector + ?Sized> {
    pub config: T::Config,
    /// Blank where there are none: then it is the push that fails, with [`config::no_credentials`].
    pub credentials: T::Credentials,
    pub common: Common,
    pub mapping: Mapping,
    pub integration: &'a Integration,
    /// The company's brand, else the daemon's.
    pub brand: &'a str,
}

/// A connector as the rest of the daemon uses it.
pub trait Connector: Send + Sync {
    fn manifest(&self) -> &Manifest;
    /// Everything that is wrong with a configuration and mapping, each in a sentence that says what to do. The brand
    /// is that under which the integration will push.
    fn check(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<Problem>;
    /// Everything that is wrong with credentials, alike.
    fn check_credentials(&self, credentials: &Value, egress: &EgressPolicy) -> Vec<Problem>;
    /// Where the fields that a mapping says nothing of could go, among the target's own.
    fn propose(&self, operators: &Value, targets: &[TargetField]) -> Vec<Proposal>;
    /// As [`TypedConnector::quota`].
    fn account(&self, config: &Value, credentials: &Value) -> String;
    /// The configuration with credentials shortened, fit to be shown.
    fn shown(&self, config: &Value) -> Value;
    /// What a configuration sets for every connector, within what this one allows.
    fn policy(&self, config: &Value) -> Policy;
    /// Compiles an integration, once per version of it. `brand` is the daemon's; the company's own goes before it.
    /// Credentials may be null: then it is the push that fails, with [`config::no_credentials`].
    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>>;
}

impl<T: TypedConnector> Connector for T {
    fn manifest(&self) -> &Manifest {
        Self::MANIFEST
    }

    fn check(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<Problem> {
        let (read, mut problems) = config::checked::<T::Config>(config, egress);
        let Some((own, common)) = read else { return problems };
        let given = Given { common: &common, mapping, egress, brand };
        let mapping = match self.mapping(mapping) {
            Ok(mapping) => {
                let moved = Self::MANIFEST.email_target.and_then(|target| crm::moved_email(&mapping, target));
                let new = crm::untold_new(&mapping).filter(|_| !Self::MANIFEST.tells_new);
                moved.into_iter().chain(new).collect()
            }
            Err(problems) => problems,
        };
        // What follows from a key that is wrong in itself is not told beside it.
        let wrong: Vec<String> = problems.iter().map(|problem| problem.pointer.clone()).collect();
        for problem in self.problems(&own, &given).into_iter().chain(mapping) {
            if !wrong.contains(&problem.pointer) && !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    fn check_credentials(&self, credentials: &Value, egress: &EgressPolicy) -> Vec<Problem> {
        let (own, problems) = config::checked_credentials::<T::Credentials>(credentials);
        if problems.is_empty() { self.credential_problems(&own, egress) } else { problems }
    }

    fn propose(&self, operators: &Value, targets: &[TargetField]) -> Vec<Proposal> {
        self.mapping(operators).map_or_else(|_| Vec::new(), |mapping| schema::propose(&mapping, targets))
    }

    fn account(&self, config: &Value, credentials: &Value) -> String {
        let ((own, _), (common, _)) = (config::read_all::<T::Config>(config), config::read_all(config));
        self.quota(&own, &common, credentials)
    }

    fn shown(&self, config: &Value) -> Value {
        config::shown(config, T::Config::FIELDS)
    }

    fn policy(&self, config: &Value) -> Policy {
        let (common, _) = config::read_all::<Common>(config);
        let policy = common.policy();
        let most = Self::MANIFEST.connections_max.unwrap_or(u32::MAX);
        Policy { concurrency: policy.concurrency.min(most), ..policy }
    }

    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>> {
        let (own, mut problems) = config::read_all(&integration.config);
        let (common, wrong) = config::read_all(&integration.config);
        problems.extend(wrong);
        let mapping = self.mapping(&integration.mapping).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            Mapping::default()
        });
        if !problems.is_empty() {
            return Err(unusable(&problems));
        }
        let (credentials, _) = config::read_all(&integration.credentials);
        let brand = integration.brand.as_deref().unwrap_or(brand);
        self.compile(Setup { config: own, credentials, common, mapping, integration, brand })
    }
}

/// A configuration that was saved by other rules than today's.
pub(crate) fn unusable(problems: &[Problem]) -> Failure {
    crm::unrenderable(format!("the configuration is not usable: {}", joined(problems)))
}
