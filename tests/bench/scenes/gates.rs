//! What must be true of a flood at any speed: how much is written together, how often, and how much of it.
//!
//! The limits are of three runs in debug mode on two cores that four builds shared, 110 to 140 leads a second: a third of
//! the batches that these had, half as much again as they wrote. Batches do not become smaller with the machine: clients
//! in a closed loop wait while a flush runs, and come with the next one, which takes the longer the slower all is. On a
//! quiet machine, forty times as fast, they are twice as large. What is done by the clock weighs more the fewer
//! deliveries there are, so it is held by the second; so does what is written once.

use std::time::Duration;

use crate::{
    Report,
    leadline::Written,
    metrics::{Batches, Metrics},
};

/// What a daemon does by the clock, and an operator to make a company of twenty integrations: transactions a second.
const OTHERS: f64 = 17.0;
/// Bytes of WAL that are written once, however many deliveries there are: pages that are new, the server's own records.
const ONCE: f64 = 500_000.0;

/// A flood as it is held to what must be true.
pub(super) struct Counted {
    fan_out: usize,
    deliveries: f64,
    time: Duration,
    flushes: Batches,
    claims: Batches,
    finishes: Batches,
    transactions: f64,
    /// Those beside flushes, claims and finishes, a second.
    others: f64,
    wal: f64,
    /// Updates of deliveries, and how many of them touched no index.
    updates: (f64, f64),
}

impl Counted {
    pub(super) fn new(
        fan_out: usize,
        deliveries: f64,
        time: Duration,
        metrics: (&Metrics, &Metrics),
        written: (&Written, &Written),
    ) -> Self {
        let batches = |name| metrics.1.batches(metrics.0, name);
        let since = |of: fn(&Written) -> f64| of(written.1) - of(written.0);
        let (flushes, claims, finishes) = (
            batches("leadline_intake_flush_leads"),
            batches("leadline_claim_rows"),
            batches("leadline_finish_flush_attempts"),
        );
        let transactions = since(|it| it.transactions);
        let others = transactions - flushes.count - claims.count - finishes.count;
        Self {
            fan_out,
            deliveries,
            time,
            flushes,
            claims,
            finishes,
            transactions,
            others: others / (written.1.at - written.0.at).as_secs_f64(),
            wal: since(|it| it.wal),
            updates: (since(|it| it.rows.updates as f64), since(|it| it.rows.in_place as f64)),
        }
    }

    pub(super) fn report(&self, report: &mut Report) {
        report.figure("transactions per 1000 deliveries", self.transactions / self.deliveries * 1e3, "");
        report.figure("  beside batches, a second", self.others, "");
        for (name, batches) in [
            ("leads of a flush", self.flushes),
            ("rows of a claim", self.claims),
            ("attempts of a finish", self.finishes),
        ] {
            // Versions to compare with may not count them.
            if batches.count > 0.0 {
                report.figure(&format!("{name}, mean"), batches.mean(), "");
            }
        }
        report.figure("updates of a delivery", self.updates.0 / self.deliveries, "");
        report.figure("  of them in place", self.updates.1 / self.updates.0, "");
    }

    /// Bytes of WAL for each delivery.
    pub(super) fn wal_each(&self) -> f64 {
        self.wal / self.deliveries
    }

    /// Fails unless all of it is true.
    pub(super) fn hold(&self) {
        let Self { deliveries, others, updates: (updates, in_place), .. } = *self;
        let fan_out = self.fan_out as f64;
        for (what, batches, least) in [
            ("leads are in a flush", self.flushes, 3.0),
            ("rows are in a claim", self.claims, 4.0 + fan_out),
            ("attempts are in a finish", self.finishes, 10.0 + 2.0 * fan_out),
        ] {
            let mean = batches.mean();
            assert!(mean >= least, "{mean:.1} {what} on average, where {least} are few");
        }
        let most = OTHERS + 0.02 * deliveries / self.time.as_secs_f64();
        assert!(others <= most, "{others:.1} transactions a second beside batches, where {most:.1} are many");
        let most = 1.5 * (ONCE / deliveries + 2000.0 + 3500.0 / fan_out);
        let wal = self.wal_each();
        assert!(wal <= most, "{wal:.0} bytes of WAL for each delivery, where {most:.0} are many");
        assert!(
            updates <= 1.02 * deliveries,
            "{updates} updates of {deliveries} deliveries: one for each will do"
        );
        assert!(in_place >= 0.98 * updates, "of {updates} updates of deliveries {in_place} stayed in place");
    }
}
