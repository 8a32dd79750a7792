//! Tokens: made here, shown once. And who is calling.

use leadline_proto::v1::{self, token_service_server::TokenService};
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, mutate, secret, words};
use crate::{
    domain::{
        ids::{CompanyId, TokenId},
        role::Role,
    },
    store::{
        operator::command::Refusal,
        token::{NewToken, TokenView},
    },
};

/// Whose audit line it is that a token for all companies was made.
const ALL: CompanyId = CompanyId(0);

#[tonic::async_trait]
impl TokenService for Control {
    async fn create_token(&self, request: Request<v1::CreateTokenRequest>) -> Reply<v1::CreateTokenResponse> {
        let caller = mutate::caller(&request)?.clone();
        self.mutate(request, |mut command, request| async move {
            let role = role(request.role)?;
            let company = match check::optional(&request.company) {
                Some(reference) => Some(command.company(reference).await?.id),
                None => None,
            };
            let id = TokenId::generate();
            let name = match request.name.trim() {
                "" => id.to_string(),
                name => check::name(name)?.to_owned(),
            };
            // Nobody gives away more than they have: not the sight of people, nor a longer time.
            let masked = request.masked || caller.masked;
            let expires_at = earlier(expiry(&request)?, caller.expires_at);
            let new = secret::new_token();
            let token = NewToken {
                id,
                company,
                name: &name,
                role,
                masked,
                prefix: &new.prefix,
                hash: &new.hash,
                expires_at,
            };
            command.create_token(&token).await?;
            let after = json!({
                "name": name,
                "role": role.as_str(),
                "company_id": company.map(|id| id.0),
                "masked": masked,
                "prefix": new.prefix,
                "expires_at": expires_at.map(|at| at.to_string()),
            });
            command.audit(company.unwrap_or(ALL), &format!("token {id}"), None, Some(after)).await?;
            let answer = v1::CreateTokenResponse {
                id: id.to_string(),
                token: new.text,
                role: words::role(role).into(),
                company_id: company.map(|id| id.0),
                expires_at: expires_at.map(convert::time),
                secret_already_shown: false,
            };
            Ok((command, answer))
        })
        .await
    }

    async fn list_tokens(&self, request: Request<v1::ListTokensRequest>) -> Reply<v1::ListTokensResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let tokens = self.store.tokens(company, after, limit).await?;
        let next_page_token = words::next_page(&tokens, limit, |token| token.id.to_string());
        let tokens = tokens.into_iter().map(v1::Token::from).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens, next_page_token }))
    }

    async fn revoke_token(&self, request: Request<v1::RevokeTokenRequest>) -> Reply<v1::RevokeTokenResponse> {
        self.mutate(request, |mut command, request| async move {
            let token = command.revoke_token(check::id("token", &request.id)?).await?;
            let company = token.company.as_ref().map_or(ALL, |(id, _)| *id);
            let after = json!({ "name": token.name, "prefix": token.prefix, "revoked": true });
            command.audit(company, &format!("token {}", token.id), None, Some(after)).await?;
            Ok((command, v1::RevokeTokenResponse { token: Some(token.into()) }))
        })
        .await
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Reply<v1::WhoAmIResponse> {
        let caller = mutate::caller(&request)?;
        Ok(Response::new(v1::WhoAmIResponse {
            operator: caller.operator.clone(),
            role: caller.role.into(),
            company_id: caller.company.as_ref().map(|(id, _)| id.0),
            company_name: caller.company.as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            masked: caller.masked,
            expires_at: caller.expires_at.map(convert::time),
            may_call: self.gate.allowed(caller),
        }))
    }
}

fn role(number: i32) -> Result<Role, Refusal> {
    match v1::Role::try_from(number) {
        Ok(v1::Role::Viewer) => Ok(Role::Viewer),
        Ok(v1::Role::Operator) => Ok(Role::Operator),
        Ok(v1::Role::Admin) => Ok(Role::Admin),
        _ => check::invalid("role: use viewer, operator or admin"),
    }
}

fn expiry(request: &v1::CreateTokenRequest) -> Result<Option<jiff::Timestamp>, Refusal> {
    let Some(span) = words::read_duration("expires_in", request.expires_in.as_ref())? else {
        return Ok(None);
    };
    let at = jiff::SignedDuration::try_from(span).ok().filter(|span| span.is_positive());
    match at.and_then(|span| jiff::Timestamp::now().checked_add(span).ok()) {
        Some(at) => Ok(Some(at)),
        None => check::invalid("expires_in: give a span from now on, or leave it out for a token that stays"),
    }
}

/// The earlier of two ends; absent is never.
fn earlier(one: Option<jiff::Timestamp>, other: Option<jiff::Timestamp>) -> Option<jiff::Timestamp> {
    [one, other].into_iter().flatten().min()
}

impl From<TokenView> for v1::Token {
    fn from(token: TokenView) -> Self {
        let (company_id, company_name) = match token.company {
            Some((id, name)) => (Some(id.0), name),
            None => (None, String::new()),
        };
        Self {
            id: token.id.to_string(),
            company_id,
            company_name,
            name: token.name,
            role: v1::Role::from_word(token.role.as_str()).unwrap_or_default().into(),
            masked: token.masked,
            prefix: token.prefix,
            created_at: Some(convert::time(token.created_at)),
            created_by: token.created_by,
            expires_at: token.expires_at.map(convert::time),
            revoked_at: token.revoked_at.map(convert::time),
            last_used_at: token.last_used_at.map(convert::time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_role_and_ends_in_the_future() {
        assert_eq!(role(2).unwrap(), Role::Operator);
        for bad in [0, 9] {
            assert_eq!(role(bad).unwrap_err().to_string(), "role: use viewer, operator or admin");
        }
        let asked = |seconds| v1::CreateTokenRequest {
            expires_in: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        assert!(expiry(&asked(60)).unwrap().unwrap() > jiff::Timestamp::now());
        assert_eq!(expiry(&v1::CreateTokenRequest::default()).unwrap(), None);
        let [soon, late] = [60, 600].map(|seconds| expiry(&asked(seconds)).unwrap());
        assert_eq!([earlier(soon, late), earlier(late, soon), earlier(None, soon)], [soon; 3]);
        assert_eq!((earlier(late, None), earlier(None, None)), (late, None));
        assert_eq!(
            expiry(&asked(0)).unwrap_err().to_string(),
            "expires_in: give a span from now on, or leave it out for a token that stays"
        );
    }
}
