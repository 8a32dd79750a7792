//! Integrations as they are written: the configuration sealed whole, a shortened one beside it to be shown. Every
//! change goes under the lock of the company first, then of the integration.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    domain::{
        fanout::Routing,
        ids::{CompanyId, IntegrationId},
        integration::{EventKind, Integration},
        lane::LaneId,
        origins::origins,
        telling::Telling,
    },
    store::{
        Error, Store,
        company::{Company, find_optional_company},
        event_words, events, known,
        operator::command::{Command, Refusal},
        queue::{health::add_health, lift::close_breaker},
        sealed,
    },
};

pub mod probe;
pub mod read;
pub mod refresh;
pub mod removal;
pub mod reset;
pub mod secret;

/// An integration to be created; everything about it has been checked.
#[derive(Debug)]
pub struct NewIntegration<'a> {
    pub company: CompanyId,
    pub name: &'a str,
    pub connector: &'a str,
    pub enabled: bool,
    pub config: &'a Value,
    pub shown: &'a Value,
    pub mapping: &'a Value,
    pub events: &'a [EventKind],
    pub payload: &'a str,
    pub routing: Routing,
    /// Only leads that consented may be pushed to it.
    pub needs_consent: bool,
    pub notices: bool,
    pub secret: Option<&'a SecretString>,
    /// What to log in with, if it is known yet.
    pub credentials: Option<&'a Value>,
}

/// An integration as it stands, locked for a change.
#[derive(Debug)]
pub struct LockedIntegration {
    pub company: Company,
    pub id: IntegrationId,
    pub name: String,
    pub connector: String,
    pub enabled: bool,
    /// The whole configuration, credentials included.
    pub config: Value,
    /// The configuration fit to be shown.
    pub shown: Value,
    pub mapping: Value,
    pub events: Vec<EventKind>,
    pub payload: String,
    pub routing: Routing,
    /// Whether it is told what operators should hear of.
    pub notices: bool,
}

impl LockedIntegration {
    #[must_use]
    pub const fn lane(&self) -> LaneId {
        LaneId { company: self.company.id, integration: self.id }
    }

    /// What the audit keeps of it: no secrets.
    #[must_use]
    pub fn audited(&self) -> Value {
        json!({
            "name": self.name,
            "connector": self.connector,
            "enabled": self.enabled,
            "config": self.shown,
            "mapping": self.mapping,
            "events": event_words(&self.events),
            "payload": self.payload,
            "routing": self.routing.as_str(),
            "notices": self.notices,
        })
    }
}

/// Opens and reads sealed credentials; null for none.
fn open_credentials(
    store: &Store,
    company: CompanyId,
    integration: IntegrationId,
    value: Option<&[u8]>,
) -> Result<Value, Error> {
    let Some(value) = value else { return Ok(Value::Null) };
    let plain = store.sealer.open(&sealed::credentials(company, integration), value)?;
    serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("credentials"))
}

/// Opens and reads a sealed configuration.
fn open_config(
    store: &Store,
    company: CompanyId,
    integration: IntegrationId,
    value: &[u8],
) -> Result<Value, Error> {
    let plain = store.sealer.open(&sealed::config(company, integration), value)?;
    serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("configuration"))
}

/// How many strokes of a reference may part the company from the name.
const STROKES_MAX: usize = 4;

/// The integrations that `COMPANY/NAME` may mean, of one company or of all. Either may have a stroke in its own name; a
/// number is a company's id before it is a name, as everywhere.
async fn in_company(
    db: &mut PgConnection,
    only: Option<i64>,
    reference: &str,
) -> Result<Vec<LaneId>, Refusal> {
    let mut meant = Vec::new();
    for (at, _) in reference.match_indices('/').take(STROKES_MAX) {
        let (company, name) = (&reference[..at], &reference[at + 1..]);
        let id = company.parse::<i64>().ok();
        let found = sqlx::query!(
            "SELECT i.company_id, i.id FROM integration i JOIN company c ON c.id = i.company_id
             WHERE (c.name = $1 OR c.id = $2) AND i.name = $3 AND i.deleted_at IS NULL
               AND ($4::bigint IS NULL OR c.id = $4)
             ORDER BY c.id = $2 DESC, c.id LIMIT 10",
            company,
            id,
            name,
            only,
        )
        .fetch_all(&mut *db)
        .await?;
        match &found[..] {
            [] => {}
            [first, rest @ ..] if rest.is_empty() || Some(first.company_id) == id => {
                meant.push(LaneId::new(CompanyId(first.company_id), first.id));
            }
            several => {
                let companies: Vec<_> =
                    several.iter().map(|row| format!("{}/{name}", row.company_id)).collect();
                return Err(Refusal::ambiguous("companies", company, &companies));
            }
        }
    }
    Ok(meant)
}

/// The integration that a reference means: an id, a name that only one has, of one company or of all, or
/// `COMPANY/NAME`.
pub(super) async fn find_integration(
    db: &mut PgConnection,
    company: Option<CompanyId>,
    reference: &str,
) -> Result<LaneId, Refusal> {
    let company = company.map(|id| id.0);
    let unknown = || Refusal::unknown("integration", format_args!("{reference:?}"));
    if reference.is_empty() {
        return Err(Refusal::Invalid("name an integration, by its id or its name".to_owned()));
    }
    if reference.contains('\0') {
        return Err(unknown());
    }
    if let Ok(id) = reference.parse::<IntegrationId>() {
        let owner = sqlx::query_scalar!(
            "SELECT c.id FROM company c CROSS JOIN LATERAL
             (SELECT 1 FROM integration i WHERE i.company_id = c.id AND i.id = $1 AND i.deleted_at IS NULL) x
             WHERE $2::bigint IS NULL OR c.id = $2",
            id.uuid(),
            company,
        )
        .fetch_optional(db)
        .await?;
        return owner.map(|owner| LaneId::new(CompanyId(owner), id)).ok_or_else(unknown);
    }
    let named = sqlx::query!(
        r#"SELECT c.id AS company_id, x.id FROM company c CROSS JOIN LATERAL
           (SELECT i.id FROM integration i WHERE i.company_id = c.id AND i.name = $1 AND i.deleted_at IS NULL) x
           WHERE $2::bigint IS NULL OR c.id = $2 ORDER BY x.id LIMIT 10"#,
        reference,
        company,
    )
    .fetch_all(&mut *db)
    .await?;
    let named = named.into_iter().map(|row| LaneId::new(CompanyId(row.company_id), row.id));
    let mut meant: Vec<_> = named.collect();
    // One's own name may be what another is called behind its company: whoever writes it is asked which.
    meant.extend(in_company(db, company, reference).await?);
    meant.sort_unstable();
    meant.dedup();
    let meant: Vec<_> = meant.into_iter().map(|lane| (lane.company, lane.integration)).collect();
    let (company, integration) = Refusal::only_one(("integration", "integrations"), reference, &meant)?;
    Ok(LaneId::new(company, integration))
}

impl Store {
    /// An integration with credentials and live secrets opened, or none if there is none any more.
    pub async fn integration(&self, lane: LaneId) -> Result<Option<Integration>, Error> {
        let LaneId { company, integration: id } = lane;
        let mut db = self.pool.acquire().await?;
        let row = sqlx::query!(
            r#"SELECT c.name AS company_name, c.brand, c.time_zone, c.locale, c.lead_url, i.name, i.connector, i.sealed_config, i.sealed_credentials,
                    i.credentials_for,
                    i.mapping, i.payload, i.version,
                    lane_is_open(i, c) AS "enabled!"
             FROM integration i JOIN company c ON c.id = i.company_id
             WHERE i.company_id = $1 AND i.id = $2 AND i.deleted_at IS NULL"#,
            company.0,
            id.uuid(),
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Integration {
            company,
            company_name: row.company_name,
            id,
            name: row.name,
            connector: row.connector,
            enabled: row.enabled,
            config: open_config(self, company, id, &row.sealed_config)?,
            credentials: open_credentials(self, company, id, row.sealed_credentials.as_deref())?,
            credentials_for: row.credentials_for,
            mapping: row.mapping,
            payload: row.payload,
            version: row.version,
            brand: row.brand,
            telling: Telling::of(row.time_zone.as_deref(), row.locale.as_deref(), row.lead_url),
            secrets: secret::live(self, &mut db, company, id).await?,
        }))
    }

    /// The lane that a reference to an integration means, of one company or of all.
    pub async fn find_integration(&self, company: Option<&str>, reference: &str) -> Result<LaneId, Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?;
        find_integration(&mut db, company, reference).await
    }
}

impl Command {
    /// Locks an integration for a change, its company first, and raises the company's configuration version.
    pub async fn integration(&mut self, reference: &str) -> Result<LockedIntegration, Refusal> {
        let lane = find_integration(&mut self.tx, None, reference).await?;
        let company = self.lock_company(lane.company).await?;
        self.lock_integration(company, lane.integration).await
    }

    /// Locks an integration, its company first, for a change of its deliveries only: intake need not decide anew.
    pub async fn integration_held(&mut self, reference: &str) -> Result<LockedIntegration, Refusal> {
        let lane = find_integration(&mut self.tx, None, reference).await?;
        let company = self.hold_company(lane.company).await?;
        self.lock_integration(company, lane.integration).await
    }

    /// Locks an integration of a locked company for a change.
    pub async fn integration_of(
        &mut self,
        company: &Company,
        reference: &str,
    ) -> Result<LockedIntegration, Refusal> {
        let lane = find_integration(&mut self.tx, Some(company.id), reference).await?;
        self.lock_integration(company.clone(), lane.integration).await
    }

    /// Locks all integrations of a locked company, in the order of their names.
    pub async fn integrations_of(&mut self, company: &Company) -> Result<Vec<LockedIntegration>, Refusal> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM integration WHERE company_id = $1 AND deleted_at IS NULL ORDER BY name",
            company.id.0,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut integrations = Vec::with_capacity(ids.len());
        for id in ids {
            integrations.push(self.lock_integration(company.clone(), id.into()).await?);
        }
        Ok(integrations)
    }

    async fn lock_integration(
        &mut self,
        company: Company,
        id: IntegrationId,
    ) -> Result<LockedIntegration, Refusal> {
        let row = sqlx::query!(
            "SELECT name, connector, enabled, config, sealed_config, mapping, events, payload, routing, notices
             FROM integration WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE",
            company.id.0,
            id.uuid(),
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let row = row.ok_or_else(|| Refusal::unknown("integration", id))?;
        let config = open_config(&self.store, company.id, id, &row.sealed_config)?;
        Ok(LockedIntegration {
            company,
            id,
            name: row.name,
            connector: row.connector,
            enabled: row.enabled,
            config,
            shown: row.config,
            mapping: row.mapping,
            events: events(&row.events)?,
            payload: row.payload,
            routing: known("routing", &row.routing, Routing::parse)?,
            notices: row.notices,
        })
    }

    /// Refuses a name that another integration of the locked company has.
    pub async fn name_is_free(&mut self, company: CompanyId, name: &str) -> Result<(), Refusal> {
        let taken = sqlx::query_scalar!(
            "SELECT id FROM integration WHERE company_id = $1 AND name = $2 AND deleted_at IS NULL",
            company.0,
            name,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        match taken {
            None => Ok(()),
            Some(id) => Err(Refusal::Exists(format!(
                "company {company} has an integration {name:?} already ({}): choose another name",
                IntegrationId::from(id)
            ))),
        }
    }

    /// Creates an integration of a locked company, with its first secret if it has one.
    pub async fn create_integration(&mut self, new: &NewIntegration<'_>) -> Result<IntegrationId, Refusal> {
        let id = IntegrationId::generate();
        let place = sealed::config(new.company, id);
        let sealed_config = self.seal(&place, new.config.to_string().as_bytes()).await?;
        let sealed_credentials = match new.credentials {
            Some(credentials) => Some(self.seal_credentials(new.company, id, credentials).await?),
            None => None,
        };
        sqlx::query!(
            "INSERT INTO integration
             (company_id, id, name, connector, enabled, config, sealed_config, mapping, events, payload, routing,
              sealed_credentials, notices, needs_consent, credentials_for)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            new.company.0,
            id.uuid(),
            new.name,
            new.connector,
            new.enabled,
            new.shown,
            sealed_config,
            new.mapping,
            &event_words(new.events) as &[&str],
            new.payload,
            new.routing.as_str(),
            sealed_credentials,
            new.notices,
            new.needs_consent,
            new.credentials.map(|_| origins(new.config)),
        )
        .execute(&mut *self.tx)
        .await?;
        add_health(&mut self.tx, LaneId::new(new.company, id)).await?;
        if let Some(secret) = new.secret {
            self.add_secret(new.company, id, 1, secret.expose_secret()).await?;
        }
        self.touch(LaneId::new(new.company, id), true);
        Ok(id)
    }

    /// Writes a locked integration back as it is now.
    pub async fn write_integration(&mut self, integration: &LockedIntegration) -> Result<(), Refusal> {
        let place = sealed::config(integration.company.id, integration.id);
        let sealed = self.seal(&place, integration.config.to_string().as_bytes()).await?;
        // Another target knows nothing of what this one asked for, and may be up. Asked before the row is written.
        let moves = sqlx::query_scalar!(
            r#"SELECT NOT is_same_target(config, $3) AS "moves!" FROM integration WHERE company_id = $1 AND id = $2"#,
            integration.company.id.0,
            integration.id.uuid(),
            integration.shown,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        if moves {
            close_breaker(&mut self.tx, LaneId::new(integration.company.id, integration.id)).await?;
        }
        sqlx::query!(
            "UPDATE integration SET name = $3, enabled = $4, config = $5, sealed_config = $6, mapping = $7,
                                    events = $8, payload = $9, routing = $10, notices = $11,
                                    version = version + 1,
                 account = CASE WHEN target_of(config) = target_of($5) THEN account END,
                 ids_from = CASE WHEN target_of(config) = target_of($5) THEN ids_from ELSE now() END,
                 throttled_until = CASE WHEN is_same_target(config, $5) THEN throttled_until END
             WHERE company_id = $1 AND id = $2",
            integration.company.id.0,
            integration.id.uuid(),
            integration.name,
            integration.enabled,
            integration.shown,
            sealed,
            integration.mapping,
            &event_words(&integration.events) as &[&str],
            integration.payload,
            integration.routing.as_str(),
            integration.notices,
        )
        .execute(&mut *self.tx)
        .await?;
        self.touch(integration.lane(), true);
        Ok(())
    }

    async fn seal_credentials(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        credentials: &Value,
    ) -> Result<Vec<u8>, Refusal> {
        let place = sealed::credentials(company, integration);
        self.seal(&place, credentials.to_string().as_bytes()).await
    }
}

/// Raises the versions of a company's integrations, as something changed that all of them push. Answers which.
pub(super) async fn raise_versions(
    db: &mut PgConnection,
    company: CompanyId,
) -> Result<Vec<IntegrationId>, Error> {
    let raised = sqlx::query_scalar!(
        "UPDATE integration SET version = version + 1 WHERE company_id = $1 AND deleted_at IS NULL RETURNING id",
        company.0,
    )
    .fetch_all(db)
    .await?;
    Ok(raised.into_iter().map(IntegrationId::from).collect())
}
