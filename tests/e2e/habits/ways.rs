//! The settings by which pushes go another way: none of them damages what the default way keeps. The page tells of that one.

use leadline_fakes::{Trap, VENDORS};
use leadlined::domain::integration::EventKind;
use serde_json::Value;

use super::matrix::{DEEDS, SAYS, come, fresh, say};

#[tokio::test(flavor = "multi_thread")]
async fn no_way_that_settings_lead_damages_a_record() {
    let mut tried = 0;
    for (connector, open) in VENDORS {
        for config in fresh(open).await.with(|account| account.ways()) {
            tried += 1;
            let trap = || Trap { mapping: Value::Null, config: config.clone() };
            for saying in SAYS {
                let told = say(open, trap(), saying).await;
                assert!(!told.starts_with("refused"), "{connector}, {config}, {}: {told}", saying.0);
            }
            for (deed, title) in DEEDS {
                for kind in [EventKind::Updated, EventKind::Created] {
                    let told = come(open, trap(), deed, kind).await.unwrap_or_default();
                    // What the vendor refuses whichever way it comes is on the page.
                    if told.starts_with("refused") {
                        let usual = come(open, Trap::default(), deed, kind).await;
                        assert_eq!(Some(told), usual, "{connector}, {config}, {title}, {kind:?}");
                    }
                }
            }
        }
    }
    assert_eq!(tried, 14, "six vendors have such settings");
}
