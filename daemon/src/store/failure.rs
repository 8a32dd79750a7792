//! Failures by cause: what is dead is named by a background step, which takes the lead's own values out of the error,
//! so that flushes pay nothing for it; triggers of `undelivered` keep the counts.

use jiff_sqlx::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        cause::{self, CauseId, Values},
        json::Json,
        outcome::FailureClass,
    },
    store::{Error, Store, known, queue::undelivered},
};

mod leads;
pub mod list;
mod retrying;
pub mod snooze;

/// How many are named at once.
const NAMED_MAX: i64 = 500;
/// One daemon at a time names.
const LOCK: i64 = 0x6c65_6164_0008;
/// Longer amounts are no money.
const PENCE_MAX: i64 = 1 << 50;

/// Columns of what is named.
#[derive(Default)]
pub(in crate::store) struct Named {
    pub(in crate::store) company: Vec<i64>,
    pub(in crate::store) integration: Vec<Uuid>,
    pub(in crate::store) delivery: Vec<Uuid>,
    /// As they were read: a row that says something else by now is left for the next time.
    pub(in crate::store) class: Vec<Option<String>>,
    pub(in crate::store) error: Vec<Option<String>>,
    pub(in crate::store) cause: Vec<i64>,
    pub(in crate::store) currency: Vec<Option<String>>,
    pub(in crate::store) pence: Vec<Option<i64>>,
    pub(in crate::store) connectors: Vec<String>,
    pub(in crate::store) classes: Vec<&'static str>,
    pub(in crate::store) texts: Vec<String>,
}

/// How many deliveries died of a cause within a quarter of an hour.
pub(in crate::store) struct Died {
    pub(in crate::store) cause: i64,
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) company: i64,
    pub(in crate::store) integration: Uuid,
    pub(in crate::store) deliveries: i64,
}

/// What a lead's quote comes to.
pub(in crate::store) fn money(event: &Json) -> Option<(String, i64)> {
    let pence = match event.at("quote.total_pence")? {
        Json::Number(text) => text.parse::<i64>().ok().filter(|pence| (0..PENCE_MAX).contains(pence))?,
        _ => return None,
    };
    let currency = event.at("quote.currency").and_then(Json::as_str).unwrap_or_default();
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic());
    Some((if is_code { currency.to_ascii_uppercase() } else { "GBP".to_owned() }, pence))
}

impl Store {
    /// Names the causes of what died lately.
    pub async fn name_causes(&self) -> Result<(), Error> {
        let mut last = Uuid::nil();
        while let Some(named) = self.name_causes_behind(last, NAMED_MAX).await? {
            last = named;
        }
        Ok(())
    }

    /// Names so many in the order of their ids, and answers the last of them, if there may be more. The next begin behind
    /// it: as long as anybody holds a snapshot, whoever looked from the first one would pass all that are named by now.
    pub async fn name_causes_behind(&self, last: Uuid, limit: i64) -> Result<Option<Uuid>, Error> {
        let rows = sqlx::query_file!(
            "src/store/failure/unnamed.sql",
            limit,
            &FailureClass::ALL.map(FailureClass::as_str) as &[&str],
            last,
        )
        .fetch_all(&self.pool)
        .await?;
        let Some(last) = rows.last().map(|row| row.delivery_id) else { return Ok(None) };
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let mut named = Named::default();
        for row in rows {
            // Whose lead was erased meanwhile could not be masked any more.
            let Some(body) = row.body else { continue };
            // Events are JSON since they were taken in; one that is not holds nothing to mask.
            let event = Json::parse(&body).unwrap_or(Json::Null);
            let class = match &row.class {
                Some(word) => known("failure class", word, FailureClass::parse)?,
                None => FailureClass::Unknown,
            };
            let said = Values::of_cause(&event, &row.company);
            let text = cause::text(&row.connector, row.error.as_deref().unwrap_or_default(), &said);
            let (currency, pence) = money(&event).unzip();
            named.company.push(row.company_id);
            named.integration.push(row.integration_id);
            named.delivery.push(row.delivery_id);
            named.class.push(row.class);
            named.error.push(row.error);
            named.cause.push(CauseId::of(&row.connector, class, &text).0);
            named.currency.push(currency);
            named.pence.push(pence);
            named.connectors.push(row.connector);
            named.classes.push(class.as_str());
            named.texts.push(text);
        }
        Ok((self.write_names(&named).await? && is_full).then_some(last))
    }

    /// Answers whether it was this daemon's turn.
    async fn write_names(&self, n: &Named) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "is_ours!""#, LOCK)
            .fetch_one(&mut *tx)
            .await?;
        if !is_ours {
            return Ok(false);
        }
        sqlx::query!(
            "INSERT INTO cause (id, connector, class, text)
             SELECT DISTINCT ON (id) id, connector, class, text
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) u(id, connector, class, text) ORDER BY id
             ON CONFLICT DO NOTHING",
            &n.cause,
            &n.connectors,
            &n.classes as &[&str],
            &n.texts,
        )
        .execute(&mut *tx)
        .await?;
        // The health of the integrations first, as whoever changes these rows does: so nobody waits in a circle.
        sqlx::query!(
            "SELECT dead FROM integration_stat WHERE integration_id = ANY($1)
             ORDER BY company_id, integration_id FOR UPDATE",
            &n.integration,
        )
        .fetch_all(&mut *tx)
        .await?;
        let died = undelivered::name_causes(&mut tx, n).await?;
        add_to_trends(&mut tx, &died).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Compares the counts of causes with the rows, mends what differs, and forgets what is too old to be asked for.
    /// Answers how many counts were wrong.
    pub async fn check_causes(&self) -> Result<u64, Error> {
        // One snapshot sees rows and counts of the same commits; what is written is a difference, so that commits in
        // between are not lost.
        let mended = sqlx::query_scalar!(
            r#"WITH counted AS (
                   SELECT company_id, integration_id, cause_id, coalesce(currency, '') AS currency, count(*) AS deliveries,
                          coalesce(sum(pence), 0)::bigint AS pence, min(since) AS first_at, max(since) AS last_at
                   FROM undelivered WHERE cause_id IS NOT NULL GROUP BY 1, 2, 3, 4
               ), wrong AS MATERIALIZED (
                   SELECT company_id, integration_id, cause_id, currency,
                          coalesce(n.deliveries, 0) - coalesce(c.deliveries, 0) AS deliveries,
                          coalesce(n.pence, 0) - coalesce(c.pence, 0) AS pence,
                          coalesce(n.first_at, c.first_at) AS first_at, coalesce(n.last_at, c.last_at) AS last_at
                   FROM counted n FULL JOIN cause_count c USING (company_id, integration_id, cause_id, currency)
               ), mended AS (
                   INSERT INTO cause_count AS c
                       (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
                   SELECT * FROM wrong WHERE deliveries <> 0 OR pence <> 0 ORDER BY 1, 2, 3, 4
                   ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
                       SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence
                   RETURNING 1
               )
               SELECT count(*) AS "mended!" FROM mended"#,
        )
        .fetch_one(&self.pool)
        .await?;
        sqlx::query!("DELETE FROM cause_count WHERE deliveries = 0 AND last_at < now() - interval '1 day'")
            .execute(&self.pool)
            .await?;
        sqlx::query!("DELETE FROM cause_trend WHERE at < now() - interval '2 days'")
            .execute(&self.pool)
            .await?;
        sqlx::query!(
            "DELETE FROM cause c WHERE created_at < now() - interval '30 days'
               AND (snoozed_until IS NULL OR snoozed_until < now())
               AND NOT EXISTS (SELECT FROM cause_count n WHERE n.cause_id = c.id AND n.deliveries > 0)",
        )
        .execute(&self.pool)
        .await?;
        Ok(u64::try_from(mended).unwrap_or_default())
    }
}

/// Counts what died lately into the trends of its causes.
async fn add_to_trends(db: &mut PgConnection, died: &[Died]) -> Result<(), Error> {
    if died.is_empty() {
        return Ok(());
    }
    let cause: Vec<i64> = died.iter().map(|died| died.cause).collect();
    let at: Vec<Timestamp> = died.iter().map(|died| died.at).collect();
    let company: Vec<i64> = died.iter().map(|died| died.company).collect();
    let integration: Vec<Uuid> = died.iter().map(|died| died.integration).collect();
    let deliveries: Vec<i64> = died.iter().map(|died| died.deliveries).collect();
    sqlx::query!(
        "INSERT INTO cause_trend AS t (cause_id, at, company_id, integration_id, deliveries)
         SELECT cause_id, at, company_id, integration_id, deliveries
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::uuid[], $5::bigint[])
             n(cause_id, at, company_id, integration_id, deliveries)
         ORDER BY 1, 2, 3, 4
         ON CONFLICT (cause_id, at, company_id, integration_id) DO UPDATE
             SET deliveries = t.deliveries + excluded.deliveries",
        &cause,
        &at as &[Timestamp],
        &company,
        &integration,
        &deliveries,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_what_the_quote_comes_to() {
        let money = |quote: &str| money(&Json::parse(format!("{{\"quote\": {quote}}}").as_bytes()).unwrap());
        assert_eq!(money(r#"{"total_pence": 125000, "currency": "eur"}"#), Some(("EUR".into(), 125_000)));
        assert_eq!(money(r#"{"total_pence": 5}"#), Some(("GBP".into(), 5)));
        for none in
            ["{}", "null", r#"{"total_pence": "5"}"#, r#"{"total_pence": -5}"#, r#"{"total_pence": 1.5}"#]
        {
            assert_eq!(money(none), None, "{none}");
        }
    }
}
