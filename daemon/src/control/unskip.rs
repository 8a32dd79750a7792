//! Undoing skips: deliveries by name, or all that one bulk skip skipped.

use std::collections::BTreeMap;

use leadline_proto::v1;
use serde_json::json;
use tonic::Request;
use uuid::Uuid;

use super::{
    Control, Reply, check, mutate,
    pending_audit::{AuditEntry, PendingAudit},
};
use crate::{
    domain::{
        delivery::State,
        ids::{CompanyId, DeliveryId, JobId},
    },
    store::{
        operator::{
            command::{Mutation, Refusal},
            refusal::{Known, RefusalReason},
        },
        queue::release::BATCH,
    },
};

/// Which skips are undone.
enum Undone {
    Named(Vec<(CompanyId, DeliveryId)>),
    Job(JobId),
}

impl Control {
    pub(super) async fn unskip(
        &self,
        request: Request<v1::UnskipDeliveriesRequest>,
    ) -> Reply<v1::UnskipDeliveriesResponse> {
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        let undone = self.to_unskip(&request).await?;
        let (mut count, mut left_alone) = (BTreeMap::<i64, u64>::new(), 0);
        let mut pending = PendingAudit::of(self, &call);
        let mut after = None;
        loop {
            let page = match &undone {
                Undone::Named(named) if after.is_none() => named.clone(),
                Undone::Named(_) => break,
                Undone::Job(job) => self.store.skipped_by(*job, after, BATCH as i64).await?,
            };
            let Some((_, last)) = page.last() else { break };
            after = Some(*last);
            // A page is safe to repeat: what stands again is skipped no more. It is one transaction, as what is named is
            // undone as a whole or not at all.
            let mut command = self.store.batch(&call).await?;
            for (company, ids) in by_company(&page) {
                let stands = command.unskip(company, &ids).await?.changed;
                let left = (ids.len() as u64).saturating_sub(stands);
                if matches!(undone, Undone::Named(_)) && left > 0 {
                    return Err(not_undone(&ids, left).into());
                }
                *count.entry(company.0).or_default() += stands;
                left_alone += left;
            }
            // Before the commit, as the call may be cut off within it.
            pending.remember(undone.entries(&call, &count));
            command.commit().await?;
        }
        let told = undone.entries(&call, &count);
        let count: u64 = count.values().sum();
        let answer = self.carry_out(&call, |mut command| async {
            for entry in &told {
                entry.write(&mut command).await?;
            }
            Ok((command, v1::UnskipDeliveriesResponse { count, left_alone }))
        });
        let answer = answer.await?;
        pending.forget();
        Ok(answer)
    }

    async fn to_unskip(&self, request: &v1::UnskipDeliveriesRequest) -> Result<Undone, Refusal> {
        match (&request.ids[..], &*request.job_id) {
            ([], "") => check::invalid("name deliveries, or the job of a bulk skip"),
            ([], job) => {
                let job: JobId = check::id("job", job)?;
                if self.store.skipped_by(job, None, 1).await?.is_empty() {
                    let message = format!(
                        "job {job} skipped nothing that can still be undone: a skip can for 24 hours"
                    );
                    return Err(Known::new(RefusalReason::SkipFinal, message).into());
                }
                Ok(Undone::Job(job))
            }
            (ids, "") => {
                let targets = self.named(ids).await?;
                match targets.iter().find(|target| target.state != State::Skipped) {
                    Some(target) => Err(Refusal::State(format!(
                        "delivery {} is {} and not skipped: there is nothing to undo",
                        DeliveryId::from(target.id),
                        target.state
                    ))),
                    None => Ok(Undone::Named(
                        targets.iter().map(|it| (CompanyId(it.company_id), it.id.into())).collect(),
                    )),
                }
            }
            _ => check::invalid("send either ids or a job, not both"),
        }
    }
}

impl Undone {
    /// What the audit is told: a line for each company.
    fn entries(&self, call: &Mutation, counts: &BTreeMap<i64, u64>) -> Vec<AuditEntry> {
        let entry = |(company, count): (&i64, &u64)| {
            let target = match self {
                Self::Job(job) => format!("job {job}"),
                Self::Named(named) => {
                    let mut of_company = named.iter().filter(|(of, _)| of.0 == *company);
                    match (of_company.next(), of_company.next()) {
                        (Some((_, only)), None) => format!("delivery {only}"),
                        _ => format!("{count} deliveries"),
                    }
                }
            };
            let after = json!({ "count": count, "request_id": call.request_id });
            AuditEntry { company: CompanyId(*company), target, after }
        };
        counts.iter().map(entry).collect()
    }
}

fn by_company(page: &[(CompanyId, DeliveryId)]) -> Vec<(CompanyId, Vec<Uuid>)> {
    let mut companies: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
    for (company, id) in page {
        companies.entry(company.0).or_default().push(id.uuid());
    }
    companies.into_iter().map(|(company, ids)| (CompanyId(company), ids)).collect()
}

fn not_undone(ids: &[Uuid], left: u64) -> Known {
    let which = match ids {
        [only] => format!("delivery {}", DeliveryId::from(*only)),
        ids => format!("{left} of these {} deliveries", ids.len()),
    };
    let message = format!(
        "the skip of {which} cannot be undone: no operator skipped it in the last 24 hours, or something newer of its \
         lead went there since"
    );
    Known::new(RefusalReason::SkipFinal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_of_a_company_names_the_only_one_of_it() {
        let call = Mutation {
            operator: "ann".to_owned(),
            method: "UnskipDeliveries",
            request_id: String::new(),
            fingerprint: [0; 32],
        };
        let (only, first, second) = (DeliveryId::generate(), DeliveryId::generate(), DeliveryId::generate());
        let undone = Undone::Named(vec![(CompanyId(7), only), (CompanyId(8), first), (CompanyId(8), second)]);
        let entries = undone.entries(&call, &BTreeMap::from([(7, 1), (8, 2)]));
        let targets: Vec<_> = entries.into_iter().map(|entry| entry.target).collect();
        assert_eq!(targets, [format!("delivery {only}"), "2 deliveries".to_owned()]);
    }
}
