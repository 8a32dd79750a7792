//! The audit, and who read whom: read only; every mutation writes its own line, and readings are counted.

use leadline_proto::v1::{self, audit_service_server::AuditService};
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, words};
use crate::store::operator::audit::{AuditFilter, AuditView};

#[tonic::async_trait]
impl AuditService for Control {
    async fn list_audit(&self, request: Request<v1::ListAuditRequest>) -> Reply<v1::ListAuditResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let at = request.at.unwrap_or_default();
        let filter = AuditFilter {
            company: self.store.find_optional_company(check::optional(&request.company)).await?,
            operator: check::optional(&request.operator).map(|name| name.replace('\0', "")),
            lead: check::optional_id("lead", &request.lead)?,
            since: convert::read_time("since", at.since.as_ref())?,
            until: convert::read_time("until", at.until.as_ref())?,
            after: check::behind(after)?,
            limit,
        };
        let store = self.store.for_lists().await;
        let lines = if request.readings {
            store.readings(&filter).await?
        } else {
            store.audit_lines(&filter).await?
        };
        let next_page_token = words::next_page(&lines, limit, |line| line.id.to_string());
        let lines = lines.into_iter().map(v1::AuditLine::from).collect();
        Ok(Response::new(v1::ListAuditResponse { lines, next_page_token }))
    }
}

impl From<AuditView> for v1::AuditLine {
    fn from(line: AuditView) -> Self {
        let text = |json: Option<serde_json::Value>| json.map(|json| json.to_string()).unwrap_or_default();
        Self {
            id: line.id.to_string(),
            company_id: line.company.0,
            at: Some(convert::time(line.at)),
            operator: line.operator,
            action: line.action,
            target: line.target,
            target_name: line.target_name.unwrap_or_default(),
            before: text(line.before),
            after: text(line.after),
        }
    }
}
