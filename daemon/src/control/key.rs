//! Intake keys: made here, shown once.

use leadline_proto::v1::{self, intake_key_service_server::IntakeKeyService};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, secret, words};
use crate::store::company::key::KeyRights;

#[tonic::async_trait]
impl IntakeKeyService for Control {
    async fn create_intake_key(
        &self,
        request: Request<v1::CreateIntakeKeyRequest>,
    ) -> Reply<v1::CreateIntakeKeyResponse> {
        self.mutate(request, |mut command, request| async move {
            let rate = check::rate(request.rate_per_second)?;
            let company = command.company(&request.company).await?;
            let new = secret::new_intake_key(company.id);
            let named = words::read_signature(request.signature)?;
            let wants_signature = request.require_signature || named.is_some();
            let signature = named.unwrap_or_default();
            let rights = KeyRights {
                secret: wants_signature.then(secret::new_signing_secret),
                signature,
                may_read: request.may_read,
                allow_origins: check::origins(&request.allow_origins)?,
                rate_per_second: rate,
            };
            let key = command.create_key(company.id, &new.prefix, &new.hash, &rights).await?;
            let signing = rights.secret;
            let after = json!({
                "prefix": key.prefix,
                "require_signature": key.require_signature,
                "signature": key.signature.as_str(),
                "may_read": key.may_read,
                "allow_origins": key.allow_origins,
                "rate_per_second": key.rate_per_second,
            });
            command.audit(company.id, &format!("intake key {}", key.id), None, Some(after)).await?;
            let answer = v1::CreateIntakeKeyResponse {
                id: key.id.to_string(),
                key: new.text,
                signing_secret: signing.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default(),
                secret_already_shown: false,
            };
            Ok((command, answer))
        })
        .await
    }

    async fn list_intake_keys(
        &self,
        request: Request<v1::ListIntakeKeysRequest>,
    ) -> Reply<v1::ListIntakeKeysResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let keys = self.store.intake_keys(check::optional(&request.company), after, limit).await?;
        let next_page_token = words::next_page(&keys, limit, |key| key.id.to_string());
        let keys = keys.into_iter().map(v1::IntakeKey::from).collect();
        Ok(Response::new(v1::ListIntakeKeysResponse { keys, next_page_token }))
    }

    async fn revoke_intake_key(
        &self,
        request: Request<v1::RevokeIntakeKeyRequest>,
    ) -> Reply<v1::RevokeIntakeKeyResponse> {
        self.mutate(request, |mut command, request| async move {
            let key = command.revoke_key(check::id("intake key", &request.id)?).await?;
            let after = json!({ "prefix": key.prefix, "revoked": true });
            command.audit(key.company, &format!("intake key {}", key.id), None, Some(after)).await?;
            Ok((command, v1::RevokeIntakeKeyResponse { key: Some(key.into()) }))
        })
        .await
    }

    async fn list_refusals(
        &self,
        request: Request<v1::ListRefusalsRequest>,
    ) -> Reply<v1::ListRefusalsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let key = check::id("intake key", &request.key)?;
        let (_, refusals) = self.store.refusals(key, after, limit).await?;
        let next_page_token = words::next_page(&refusals, limit, |refusal| refusal.id.to_string());
        let refusals = refusals.into_iter().map(v1::Refused::from).collect();
        Ok(Response::new(v1::ListRefusalsResponse { refusals, next_page_token }))
    }
}
