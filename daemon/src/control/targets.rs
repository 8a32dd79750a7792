//! What a request means that is about many deliveries: in batches, and in the audit.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::{Control, check};
use crate::{
    domain::ids::{CompanyId, DeliveryId},
    store::{
        command::{Call, Command, Refusal},
        delivery_read::{DeliveryFilter, Target},
        held::BATCH,
    },
};

/// How many deliveries one request may name.
const MAX_IDS: usize = 10_000;
/// How many of them the answer shows.
pub(super) const SAMPLE: usize = 10;

impl Control {
    /// The deliveries of these ids, oldest first; refused if one is not there.
    pub(super) async fn named(&self, ids: &[String]) -> Result<Vec<Target>, Refusal> {
        if ids.len() > MAX_IDS {
            return check::invalid(format!(
                "{} ids are too many, at most {MAX_IDS}: send a filter instead",
                ids.len()
            ));
        }
        let mut ids: Vec<DeliveryId> =
            ids.iter().map(|id| check::id("delivery", id)).collect::<Result<_, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        let filter = DeliveryFilter { ids: Some(ids.clone()), ..DeliveryFilter::default() };
        let targets = self.store.targets(&filter).await?;
        let found: HashSet<_> = targets.iter().map(|target| target.id).collect();
        match ids.iter().find(|id| !found.contains(&id.uuid())) {
            Some(missing) => Err(Refusal::unknown("delivery", missing)),
            None => Ok(targets),
        }
    }
}

/// The targets of each company in batches, oldest first.
pub(super) fn batches(targets: &[Target]) -> Vec<(CompanyId, Vec<Target>)> {
    let mut companies: BTreeMap<i64, Vec<Target>> = BTreeMap::new();
    for target in targets {
        companies.entry(target.company_id).or_default().push(target.clone());
    }
    let chunks = companies.into_iter().flat_map(|(company, targets)| {
        targets.chunks(BATCH).map(|chunk| (CompanyId(company), chunk.to_vec())).collect::<Vec<_>>()
    });
    chunks.collect()
}

/// One audit line for each company.
pub(super) async fn audit(command: &mut Command, call: &Call, targets: &[Target]) -> Result<(), Refusal> {
    let mut companies: BTreeMap<i64, (u64, Vec<String>)> = BTreeMap::new();
    for target in targets {
        let (count, first) = companies.entry(target.company_id).or_default();
        *count += 1;
        if first.len() < SAMPLE {
            first.push(DeliveryId::from(target.id).to_string());
        }
    }
    for (company, (count, first)) in companies {
        let target = match &first[..] {
            [only] => format!("delivery {only}"),
            _ => format!("{count} deliveries"),
        };
        let after = json!({ "count": count, "first": first, "request_id": call.request_id });
        command.audit(CompanyId(company), &target, None, Some(after)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IntegrationId;

    fn target(company_id: i64) -> Target {
        Target {
            company_id,
            integration_id: IntegrationId::generate().uuid(),
            id: DeliveryId::generate().uuid(),
            state: "dead".to_owned(),
            reason: None,
            integration_name: "crm".to_owned(),
            enabled: true,
        }
    }

    #[test]
    fn batches_keep_companies_apart() {
        let mut targets = vec![target(7); BATCH + 1];
        targets.insert(1, target(3));
        let sizes: Vec<_> =
            batches(&targets).into_iter().map(|(company, batch)| (company.0, batch.len())).collect();
        assert_eq!(sizes, [(3, 1), (7, BATCH), (7, 1)]);
    }
}
