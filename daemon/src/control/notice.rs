//! Notices: read only; dispatch sees what changed and tells it.

use leadline_proto::v1::{self, notice_service_server::NoticeService};
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, words};
use crate::store::notice::NoticeView;

#[tonic::async_trait]
impl NoticeService for Control {
    async fn list_notices(&self, request: Request<v1::ListNoticesRequest>) -> Reply<v1::ListNoticesResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let notices = self.store.notices(company, check::behind(after)?, limit).await?;
        let next_page_token = words::next_page(&notices, limit, |notice| notice.id.to_string());
        let notices = notices.into_iter().map(v1::Notice::from).collect();
        Ok(Response::new(v1::ListNoticesResponse { notices, next_page_token }))
    }
}

impl From<NoticeView> for v1::Notice {
    fn from(notice: NoticeView) -> Self {
        Self {
            id: notice.id.to_string(),
            company_id: notice.company.0,
            integration_id: notice.integration.to_string(),
            event: v1::NoticeEvent::from_word(notice.kind.as_str()).unwrap_or_default().into(),
            body: notice.body,
            state: v1::NoticeState::from_word(notice.state.as_str()).unwrap_or_default().into(),
            attempts: notice.attempts.max(0).unsigned_abs(),
            error: notice.error.unwrap_or_default(),
            created_at: Some(convert::time(notice.created_at)),
            finished_at: notice.finished_at.map(convert::time),
        }
    }
}
