//! Deliveries: lists, and the filter that lists and retries share.

use leadline_proto::v1::{self, delivery_service_server::DeliveryService};
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, failure::cause_id, words};
use crate::store::{
    delivery::{
        attempts::AttemptsOf,
        read::{DeliveryFilter, Order},
    },
    operator::command::Refusal,
};

/// How many attempts are shown with a delivery.
const ATTEMPTS: i64 = 200;

#[tonic::async_trait]
impl DeliveryService for Control {
    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Reply<v1::ListDeliveriesResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page.as_ref())?;
        let after = check::optional_id("after", after)?;
        let asked = request.filter.unwrap_or_default();
        let filter = self.delivery_filter(&asked).await?;
        let order = if asked.undelivered { Order::OldestFirst } else { Order::NewestFirst };
        let deliveries =
            self.store.for_lists().await.delivery_views(&filter, order, after, Some(limit)).await?;
        let next_page_token = words::next_page(&deliveries, limit, |delivery| delivery.id.to_string());
        let deliveries = deliveries.into_iter().map(v1::Delivery::from).collect();
        Ok(Response::new(v1::ListDeliveriesResponse { deliveries, next_page_token }))
    }

    async fn get_delivery(&self, request: Request<v1::GetDeliveryRequest>) -> Reply<v1::GetDeliveryResponse> {
        let delivery = self.store.delivery_view(check::id("delivery", &request.get_ref().id)?).await?;
        let of = AttemptsOf::Delivery(delivery.company, delivery.id);
        let attempts = self.store.for_lists().await.attempts(of, None, ATTEMPTS).await?;
        let of = (delivery.integration, delivery.id);
        let records = match delivery.lead.parse() {
            Ok(lead) => self.records(delivery.company, lead, Some(of)).await?,
            Err(_) => Vec::new(),
        };
        Ok(Response::new(v1::GetDeliveryResponse {
            records,
            delivery: Some(delivery.into()),
            attempts: attempts.into_iter().map(v1::Attempt::from).collect(),
        }))
    }

    async fn retry_deliveries(
        &self,
        request: Request<v1::RetryDeliveriesRequest>,
    ) -> Reply<v1::RetryDeliveriesResponse> {
        self.retry(request).await
    }
}

impl Control {
    /// A filter with its references looked up.
    pub(super) async fn delivery_filter(
        &self,
        asked: &v1::DeliveryFilter,
    ) -> Result<DeliveryFilter, Refusal> {
        let mut filter = DeliveryFilter {
            lead: check::optional_id("lead", &asked.lead)?,
            waiting: asked.waiting,
            states: convert::states(asked)?,
            class: convert::failure_class(&asked.failure_class)?,
            error: check::optional(&asked.error).map(|error| error.replace('\0', "")),
            ..DeliveryFilter::default()
        };
        if let Some(at) = &asked.at {
            filter.since = convert::read_time("since", at.since.as_ref())?;
            filter.until = convert::read_time("until", at.until.as_ref())?;
        }
        if let Some(died) = &asked.died {
            filter.died_since = convert::read_time("died.since", died.since.as_ref())?;
            filter.died_until = convert::read_time("died.until", died.until.as_ref())?;
        }
        filter.cause = check::optional(&asked.cause).map(cause_id).transpose()?;
        filter.job = check::optional_id("job", &asked.job_id)?;
        let company = check::optional(&asked.company);
        filter.company = self.store.find_optional_company(company).await?;
        if let Some(integration) = check::optional(&asked.integration) {
            let lane = self.store.find_integration(company, integration).await?;
            filter.company = Some(lane.company);
            filter.integration = Some(lane.integration);
        }
        Ok(filter)
    }
}
