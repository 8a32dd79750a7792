//! The demo without a terminal, with vendors that behave.

use std::process::Stdio;

use leadline_fakes::VENDORS;
use leadline_tests::leadline;
use tokio::process::Command;

#[tokio::test]
async fn without_a_terminal_the_demo_ends_when_every_vendor_has_every_lead_once() {
    let demo = Command::new(leadline())
        .args(["demo", "--crm", "--headless", "--leads", "3"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let reported = String::from_utf8(demo.stdout).unwrap();
    assert!(demo.status.success(), "{reported}{}", String::from_utf8_lossy(&demo.stderr));
    for line in [
        "good        3 delivered, 0 dead, 3 requests",
        "refuses     0 delivered, 3 dead, 3 requests; rejected: 422",
        "hubspot         3 contacts, 3 notes",
        "pipedrive       3 persons, 3 deals, 3 notes",
        "salesforce      3 Leads",
        "airtable        3 records",
    ] {
        assert!(reported.contains(line), "{line} is not told:\n{reported}");
    }
    let (_, held) = reported.split_once("what the vendors hold:\n").unwrap();
    let mut told = 0;
    for (connector, open) in VENDORS {
        if open().await.unwrap().with(|account| account.is_told()) {
            continue;
        }
        told += 1;
        let line = held.lines().find(|line| line.split_whitespace().next() == Some(connector));
        let line = line.unwrap_or_else(|| panic!("{connector} is not told:\n{reported}"));
        let kinds: Vec<&str> = line.trim_start_matches(connector).split(", ").map(str::trim).collect();
        assert!(
            kinds.iter().all(|kind| kind.starts_with("3 ")),
            "{connector} has not every lead once: {line}"
        );
    }
    assert_eq!(told, 12, "{reported}");
}
