//! Notices: what changed since it was told last, in one transaction, so that several daemons tell it once; then who is
//! told, and what came of it.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CompanyId, IntegrationId, NoticeId},
        lane::LaneId,
        notice::{self, Aspect, Notice, NoticeState, Subject, SubjectIntegration},
        outcome::FailureClass,
    },
    store::{Error, Store, known, queue::finish::storable_error, shown::Shown},
};

/// The subject of what is about a company itself.
const COMPANY: Uuid = Uuid::nil();

/// A notice that this daemon pushes.
#[derive(Clone, Debug)]
pub struct TakenNotice {
    pub id: NoticeId,
    pub lane: LaneId,
    pub kind: Notice,
    pub body: Vec<u8>,
    /// Finished attempts so far.
    pub attempts: i32,
    pub age: Duration,
}

/// What an attempt to push a notice came to.
#[derive(Clone, Debug)]
pub enum NoticeEnd {
    Delivered,
    Retry { after: Duration, error: String },
    Dead { error: String },
}

/// A notice as it is shown.
#[derive(Clone, Debug)]
pub struct NoticeView {
    pub company: CompanyId,
    pub id: NoticeId,
    pub integration: IntegrationId,
    pub kind: Shown<Notice>,
    pub body: Vec<u8>,
    pub state: Shown<NoticeState>,
    pub attempts: i32,
    pub error: Option<String>,
    pub created_at: jiff::Timestamp,
    pub finished_at: Option<jiff::Timestamp>,
}

/// How a subject stands, and what was told of it last.
struct WatchedSubject {
    company_id: i64,
    subject: Uuid,
    last_class: Option<String>,
    failing: Option<bool>,
    expiring: Option<i32>,
    /// Of a company.
    is_quiet: Option<bool>,
    told: Option<Value>,
}

impl WatchedSubject {
    /// What of it nobody has been told of.
    fn changes(&self) -> Vec<News> {
        let aspects = match self.is_quiet {
            Some(is_quiet) => vec![Aspect::Leads { is_quiet }],
            None => {
                let class = self.last_class.as_deref().and_then(FailureClass::parse);
                let health = Aspect::health(class, self.failing.unwrap_or_default());
                vec![health, Aspect::Secret(self.expiring)]
            }
        };
        let told = |aspect: Aspect| {
            let told = self.told.as_ref().and_then(|told| told.get(aspect.name()));
            told.and_then(Value::as_str).unwrap_or(Aspect::OK)
        };
        let news = aspects.into_iter().filter(|aspect| aspect.state() != told(*aspect));
        let (company_id, subject) = (self.company_id, self.subject);
        news.map(|aspect| News { company_id, subject, aspect }).collect()
    }
}

/// A change that nobody has been told of.
#[derive(Clone, Copy)]
struct News {
    company_id: i64,
    subject: Uuid,
    aspect: Aspect,
}

impl Store {
    /// Compares how things stand with what was told, and writes a notice of each change for all who are to be told.
    /// Answers how many.
    pub async fn watch_notices(&self) -> Result<usize, Error> {
        let mut tx = self.pool.begin().await?;
        let standing =
            sqlx::query_file_as!(WatchedSubject, "src/store/notice.sql", COMPANY).fetch_all(&mut *tx).await?;
        let mut changes: Vec<News> = standing.iter().flat_map(WatchedSubject::changes).collect();
        let mut reported = 0;
        if !changes.is_empty() {
            let is_new = note(&mut tx, &changes).await?;
            changes.retain(|it| is_new.contains(&(it.company_id, it.subject, it.aspect.name().to_owned())));
            for change in &changes {
                if let Some(notice) = change.aspect.notice() {
                    reported += write(&mut tx, change, notice).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(reported)
    }

    /// Takes notices that are due, also those whose daemon died and those that this one took before without getting to
    /// an end; those wait whose receiver is disabled, rotating or paused. Each receiver is told one after another, so
    /// none of those that are `busy` is given another.
    pub async fn take_notices(
        &self,
        daemon: i64,
        busy: &[IntegrationId],
        room: usize,
    ) -> Result<Vec<TakenNotice>, Error> {
        let busy: Vec<Uuid> = busy.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"UPDATE notice SET daemon_id = $1 WHERE (company_id, id) IN (
                   SELECT n.company_id, n.id FROM notice n
                   JOIN integration i ON i.company_id = n.company_id AND i.id = n.integration_id
                   JOIN company c ON c.id = n.company_id AND lane_is_open(i, c)
                   WHERE n.state = 'pending' AND n.due_at <= now() AND n.kind = ANY($4)
                       AND n.integration_id <> ALL($3)
                       -- Asked again of one that somebody took meanwhile, which NOT EXISTS, planned as a join, is not.
                       AND (n.daemon_id IS NULL OR n.daemon_id <> ALL(ARRAY(SELECT d.id FROM daemon d WHERE d.id <> $1)))
                       AND NOT EXISTS (SELECT FROM notice e
                           WHERE e.integration_id = n.integration_id AND e.company_id = n.company_id
                               AND e.state = 'pending' AND e.kind = ANY($4) AND e.due_at <= now() AND (e.due_at, e.id) < (n.due_at, n.id))
                   ORDER BY n.due_at LIMIT $2 FOR UPDATE OF n SKIP LOCKED)
               RETURNING company_id, id, integration_id, kind, body, attempts,
                   extract(epoch FROM now() - created_at)::float8 AS "age!""#,
            daemon,
            room as i64,
            &busy,
            &Notice::ALL.map(Notice::as_str) as &[&str],
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(TakenNotice {
                    id: row.id.into(),
                    lane: LaneId::new(CompanyId(row.company_id), row.integration_id),
                    kind: known("notice", &row.kind, Notice::parse)?,
                    body: row.body,
                    attempts: row.attempts,
                    age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Writes what an attempt came to, if this daemon still is who pushes the notice.
    pub async fn finish_notice(
        &self,
        daemon: i64,
        notice: &TakenNotice,
        end: &NoticeEnd,
    ) -> Result<(), Error> {
        let (state, after, error) = match end {
            NoticeEnd::Delivered => (NoticeState::Delivered, None, None),
            NoticeEnd::Retry { after, error } => {
                (NoticeState::Pending, Some(after.as_secs_f64()), Some(storable_error(error)))
            }
            NoticeEnd::Dead { error } => (NoticeState::Dead, None, Some(storable_error(error))),
        };
        sqlx::query!(
            "UPDATE notice SET state = $4, attempts = attempts + 1, error = $5, daemon_id = NULL,
                 due_at = now() + coalesce($6::float8, 0) * interval '1 second',
                 finished_at = CASE WHEN $4 <> 'pending' THEN now() END
             WHERE company_id = $1 AND id = $2 AND daemon_id = $3",
            notice.lane.company.0,
            notice.id.uuid(),
            daemon,
            state.as_str(),
            error,
            after,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets old notices, those too that nobody could be told all the while.
    pub(in crate::store) async fn forget_notices(&self, db: &mut PgConnection) -> Result<u64, Error> {
        let gone = sqlx::query!(
            "DELETE FROM notice WHERE created_at < now() - $1 * interval '1 second'",
            self.kept.as_secs_f64(),
        )
        .execute(db)
        .await?;
        Ok(gone.rows_affected())
    }

    /// Notices, newest first.
    pub async fn notices(
        &self,
        company: Option<CompanyId>,
        after: Option<NoticeId>,
        limit: i64,
    ) -> Result<Vec<NoticeView>, Error> {
        let rows = sqlx::query!(
            "SELECT company_id, id, integration_id, kind, body, state, attempts, error, created_at, finished_at
             FROM notice WHERE ($1::bigint IS NULL OR company_id = $1) AND ($2::uuid IS NULL OR id < $2)
             ORDER BY id DESC LIMIT $3",
            company.map(|id| id.0),
            after.map(NoticeId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let notices = rows.into_iter().map(|row| NoticeView {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            integration: row.integration_id.into(),
            kind: Shown::read(&row.kind, Notice::parse),
            body: row.body,
            state: Shown::read(&row.state, NoticeState::parse),
            attempts: row.attempts,
            error: row.error,
            created_at: row.created_at.to_jiff(),
            finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
        });
        Ok(notices.collect())
    }
}

/// Takes an error that quotes a person out of what operators were told.
pub(in crate::store) async fn scrub_notices(
    db: &mut PgConnection,
    company: CompanyId,
    error: &str,
    by: &str,
) -> Result<(), Error> {
    // As it stands within a JSON string.
    let quoted = serde_json::to_string(error).map_err(|_| Error::Corrupt("attempt's error"))?;
    sqlx::query!(
        "UPDATE notice SET body = convert_to(replace(convert_from(body, 'UTF8'), $2, $3), 'UTF8')
         WHERE company_id = $1 AND strpos(convert_from(body, 'UTF8'), $2) > 0",
        company.0,
        &quoted[1..quoted.len() - 1],
        by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets that a company was reported as quiet: what is usual is said anew.
pub(in crate::store) async fn forget_quiet(db: &mut PgConnection, company: CompanyId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM notice_told WHERE company_id = $1 AND aspect = 'leads'", company.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets what was reported last of an integration that is deleted.
pub(in crate::store) async fn forget_reported(
    db: &mut PgConnection,
    company: i64,
    integration: Uuid,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM notice_told WHERE company_id = $1 AND subject = $2", company, integration)
        .execute(db)
        .await?;
    Ok(())
}

/// Notes what is told now. Answers what nobody else has told meanwhile: whoever comes second waits for the first at the
/// row, and then finds it told. The order keeps two daemons from waiting for each other.
async fn note(
    tx: &mut sqlx::PgTransaction<'_>,
    changes: &[News],
) -> Result<HashSet<(i64, Uuid, String)>, Error> {
    let companies: Vec<i64> = changes.iter().map(|change| change.company_id).collect();
    let subjects: Vec<Uuid> = changes.iter().map(|change| change.subject).collect();
    let aspects: Vec<&str> = changes.iter().map(|change| change.aspect.name()).collect();
    let states: Vec<String> = changes.iter().map(|change| change.aspect.state().into_owned()).collect();
    let noted = sqlx::query!(
        "INSERT INTO notice_told (company_id, subject, aspect, state)
         SELECT company_id, subject, aspect, state
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[]) n(company_id, subject, aspect, state)
         ORDER BY company_id, subject, aspect
         ON CONFLICT (company_id, subject, aspect) DO UPDATE SET state = excluded.state, since = now()
         WHERE notice_told.state <> excluded.state
         RETURNING company_id, subject, aspect",
        &companies,
        &subjects,
        &aspects as &[&str],
        &states,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(noted.into_iter().map(|row| (row.company_id, row.subject, row.aspect)).collect())
}

/// Writes a notice of a change for every integration of the company that is to be told: not the one it is about.
async fn write(tx: &mut sqlx::PgTransaction<'_>, change: &News, notice: Notice) -> Result<usize, Error> {
    let row = sqlx::query!(
        r#"SELECT c.name AS company_name, c.quiet_hours, now() AS "now!", i.name AS "name?", i.connector AS "connector?",
                  s.dead AS "dead?", s.last_error,
                  (SELECT max(expires_at) FROM signing_secret x
                   WHERE x.company_id = c.id AND x.integration_id = i.id AND x.expires_at > now()) AS grace_until
           FROM company c
           LEFT JOIN integration i ON i.company_id = c.id AND i.id = $2
           LEFT JOIN integration_stat s ON s.company_id = c.id AND s.integration_id = i.id
           WHERE c.id = $1"#,
        change.company_id,
        change.subject,
    )
    .fetch_one(&mut **tx)
    .await?;
    let (name, connector) = (row.name, row.connector);
    let subject = Subject {
        company: change.company_id,
        company_name: row.company_name,
        integration: name.zip(connector).map(|(name, connector)| SubjectIntegration {
            id: IntegrationId::from(change.subject).to_string(),
            name,
            connector,
            dead: row.dead.unwrap_or_default(),
            last_error: row.last_error,
            grace_until: row.grace_until.map(|at| at.to_jiff().to_string()),
        }),
        at: row.now.to_jiff().to_string(),
        quiet_hours: row.quiet_hours,
    };
    let body = notice::body(notice, &subject);
    let reported = sqlx::query_scalar!(
        "SELECT id FROM integration WHERE company_id = $1 AND notices AND deleted_at IS NULL AND id <> $2",
        change.company_id,
        change.subject,
    )
    .fetch_all(&mut **tx)
    .await?;
    let ids: Vec<Uuid> = reported.iter().map(|_| NoticeId::generate().uuid()).collect();
    sqlx::query!(
        "INSERT INTO notice (company_id, id, integration_id, kind, body)
         SELECT $1, u.id, u.integration_id, $4, $5 FROM unnest($2::uuid[], $3::uuid[]) u(id, integration_id)",
        change.company_id,
        &ids,
        &reported,
        notice.as_str(),
        body.as_bytes(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(reported.len())
}
