//! Connectors: what this daemon can speak to.

use leadline_proto::v1::{self, connector_service_server::ConnectorService};
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, words};
use crate::connectors;

#[tonic::async_trait]
impl ConnectorService for Control {
    async fn list_connectors(
        &self,
        request: Request<v1::ListConnectorsRequest>,
    ) -> Reply<v1::ListConnectorsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let mut all: Vec<_> =
            connectors::ALL.iter().map(|connector| convert::connector(*connector)).collect();
        if !after.is_empty() {
            let known = all.iter().position(|connector| connector.name == after);
            all.drain(..=known.map_or_else(|| Err(check::not_a_page(after)), Ok)?);
        }
        all.truncate(usize::try_from(limit).unwrap_or_default());
        let next_page_token = words::next_page(&all, limit, |connector| connector.name.clone());
        Ok(Response::new(v1::ListConnectorsResponse { connectors: all, next_page_token }))
    }
}
