//! What the look of daemons in this process had to put right: nothing should ever stand where it does not belong.

use std::{
    fmt,
    sync::{Mutex, Once},
};

use leadlined::domain::ids::DeliveryId;
use sqlx::PgPool;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use uuid::Uuid;

/// The events that tell of such a delivery.
const TELLING: [&str; 2] = ["delivery_stranded", "delivery_list_wrong"];

/// The deliveries that were put right.
static MENDED: Mutex<Vec<DeliveryId>> = Mutex::new(Vec::new());
static WATCHED: Once = Once::new();

/// Reads the errors that daemons of this process log.
struct Watcher;

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = LogLine::default();
        event.record(&mut line);
        if line.tells {
            MENDED.lock().unwrap().extend(line.delivery);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What matters of a line of the log.
#[derive(Default)]
struct LogLine {
    tells: bool,
    delivery: Option<DeliveryId>,
}

impl Visit for LogLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.tells |= field.name() == "event" && TELLING.contains(&value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "delivery" {
            self.delivery = format!("{value:?}").parse().ok();
        }
    }
}

/// Watches the daemons of this process from now on.
pub(crate) fn watch() {
    WATCHED.call_once(|| tracing::subscriber::set_global_default(Watcher).unwrap());
}

/// Panics if a daemon of this process had to put right where deliveries of this database stood.
pub(crate) async fn check_unmended(pool: &PgPool) {
    let mended: Vec<Uuid> = MENDED.lock().unwrap().iter().map(|id| id.uuid()).collect();
    let own: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM delivery WHERE id = ANY($1)")
        .bind(mended)
        .fetch_all(pool)
        .await
        .unwrap();
    let own: Vec<String> = own.into_iter().map(|id| DeliveryId::from(id).to_string()).collect();
    assert!(own.is_empty(), "a daemon had to put right where these stood: {own:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_daemon_puts_right_is_known_by_its_delivery() {
        watch();
        let (id, other) = (DeliveryId::generate(), DeliveryId::generate());
        tracing::error!(event = "delivery_stranded", company = 7, delivery = %id, "a delivery stood in no list");
        tracing::error!(event = "delivery_unreadable", delivery = %other, "something else");
        let mended = MENDED.lock().unwrap().clone();
        assert!(mended.contains(&id) && !mended.contains(&other));
    }
}
