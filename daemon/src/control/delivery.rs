//! Deliveries: lists, the filter that lists and bulk acts share, and why one stands where it does.

use leadline_proto::v1::{self, delivery_service_server::DeliveryService};
use tonic::{Request, Response};

use super::{
    Control, Reply, check, convert,
    failure::cause_id,
    hold::{MoveRequest, Verb},
    mutate, words,
};
use crate::{
    domain::{cause::Values, ids::DeliveryId, privacy, why},
    store::{
        delivery::{
            attempts::AttemptsOf,
            read::{DeliveryFilter, Order},
        },
        operator::command::Refusal,
    },
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
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let asked = request.filter.unwrap_or_default();
        let filter = self.delivery_filter(&asked).await?;
        let order = if asked.undelivered { Order::OldestFirst } else { Order::NewestFirst };
        let page = self.store.for_lists().await.delivery_page(&filter, order, after, limit).await?;
        Ok(Response::new(v1::ListDeliveriesResponse {
            next_page_token: words::next_of(&page, limit, |delivery| delivery.id),
            searched_back_to: page.stopped.map(|place| convert::time(place.made_at().into())),
            deliveries: page.rows.into_iter().map(v1::Delivery::from).collect(),
        }))
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

    async fn hold_deliveries(
        &self,
        request: Request<v1::HoldDeliveriesRequest>,
    ) -> Reply<v1::HoldDeliveriesResponse> {
        let asked = MoveRequest::of(request.get_ref());
        self.move_deliveries(Verb::Hold, request, asked).await
    }

    async fn release_deliveries(
        &self,
        request: Request<v1::ReleaseDeliveriesRequest>,
    ) -> Reply<v1::ReleaseDeliveriesResponse> {
        let asked = MoveRequest::of(request.get_ref());
        self.move_deliveries(Verb::Release, request, asked).await
    }

    async fn skip_deliveries(
        &self,
        request: Request<v1::SkipDeliveriesRequest>,
    ) -> Reply<v1::SkipDeliveriesResponse> {
        let asked = MoveRequest::of(request.get_ref());
        self.move_deliveries(Verb::Skip, request, asked).await
    }

    async fn unskip_deliveries(
        &self,
        request: Request<v1::UnskipDeliveriesRequest>,
    ) -> Reply<v1::UnskipDeliveriesResponse> {
        self.unskip(request).await
    }

    async fn explain_delivery(
        &self,
        request: Request<v1::ExplainDeliveryRequest>,
    ) -> Reply<v1::ExplainDeliveryResponse> {
        let id: DeliveryId = check::id("delivery", &request.get_ref().id)?;
        let mut facts = self.store.facts(id).await?;
        if mutate::caller(&request)?.masked
            && let Some((_, error)) = &mut facts.failure
        {
            *error = privacy::text(error, &Values::default());
        }
        let why = why::why(&facts);
        let step = |step: why::NextStep| v1::NextStep { act: words::next_act(step.act).into(), id: step.id };
        Ok(Response::new(v1::ExplainDeliveryResponse {
            id: id.to_string(),
            state: words::delivery_state(facts.state).into(),
            why: why.text + ".",
            next_steps: why.next.into_iter().map(step).collect(),
        }))
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
            class: words::read_failure_class(asked.failure_class)?,
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
