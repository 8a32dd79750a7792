//! Failures, grouped by cause.

use leadline_proto::v1::{self, failure_service_server::FailureService};
use tonic::{Request, Status};

use super::Answer;
use super::Control;

#[tonic::async_trait]
impl FailureService for Control {
    async fn list_failures(&self, _: Request<v1::ListFailuresRequest>) -> Answer<v1::ListFailuresResponse> {
        Err(Status::unimplemented("failures are not grouped yet"))
    }

    async fn get_failure(&self, _: Request<v1::GetFailureRequest>) -> Answer<v1::GetFailureResponse> {
        Err(Status::unimplemented("failures are not grouped yet"))
    }

    async fn snooze_failure(
        &self,
        _: Request<v1::SnoozeFailureRequest>,
    ) -> Answer<v1::SnoozeFailureResponse> {
        Err(Status::unimplemented("failures are not grouped yet"))
    }
}
