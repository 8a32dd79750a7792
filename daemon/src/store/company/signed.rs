//! Signed posts that are remembered: a webhook-id that comes once more makes nothing new.

use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, KeyId, LeadId},
    store::{Error, Store},
};

/// A signed post, by the hash of its webhook-id.
#[derive(Clone, Copy, Debug)]
pub struct SignedPost {
    pub company: CompanyId,
    pub key: KeyId,
    pub id_hash: [u8; 32],
}

/// What is known of a signed post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing until now.
    New,
    /// It brought this lead.
    Done(LeadId),
    /// It is worked on somewhere.
    UnderWay,
}

impl Store {
    /// Notes that a signed post is worked on, unless it is known. One that was never finished is forgotten after 30 s.
    pub async fn begin_signed(&self, post: SignedPost) -> Result<Remembered, Error> {
        let begun = sqlx::query_scalar!(
            "INSERT INTO signed_request (company_id, key_id, id_hash) VALUES ($1, $2, $3)
             ON CONFLICT (company_id, key_id, id_hash) DO UPDATE SET at = now()
             WHERE signed_request.lead_id IS NULL AND signed_request.at < now() - interval '30 seconds'
             RETURNING at",
            post.company.0,
            post.key.uuid(),
            &post.id_hash[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        if begun.is_some() {
            return Ok(Remembered::New);
        }
        let lead = sqlx::query_scalar!(
            "SELECT lead_id FROM signed_request WHERE company_id = $1 AND key_id = $2 AND id_hash = $3",
            post.company.0,
            post.key.uuid(),
            &post.id_hash[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(match lead.flatten() {
            Some(lead) => Remembered::Done(lead.into()),
            None => Remembered::UnderWay,
        })
    }

    /// Notes the lead that a signed post brought; none forgets the post, because it brought nothing.
    pub async fn end_signed(&self, post: SignedPost, lead: Option<LeadId>) -> Result<(), Error> {
        match lead.map(LeadId::uuid) {
            Some(lead) => self.signed_brought(post, lead).await,
            None => self.forget_signed(post).await,
        }
    }

    async fn signed_brought(&self, post: SignedPost, lead: Uuid) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE signed_request SET lead_id = $4 WHERE company_id = $1 AND key_id = $2 AND id_hash = $3",
            post.company.0,
            post.key.uuid(),
            &post.id_hash[..],
            lead,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn forget_signed(&self, post: SignedPost) -> Result<(), Error> {
        sqlx::query!(
            "DELETE FROM signed_request
             WHERE company_id = $1 AND key_id = $2 AND id_hash = $3 AND lead_id IS NULL",
            post.company.0,
            post.key.uuid(),
            &post.id_hash[..],
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets the signed posts whose timestamps are refused by now.
    pub async fn forget_signed_posts(&self) -> Result<u64, Error> {
        let gone = sqlx::query!("DELETE FROM signed_request WHERE at < now() - interval '15 minutes'")
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }
}
