//! What is compared before and after a call that is refused: it must tell what each service changes.

use super::Scene;

/// The tables that have changed.
pub(super) fn changed<'a>(before: &'a str, after: &'a str) -> Vec<&'a str> {
    let differing = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
    differing.filter_map(|(_, after)| after.split(':').next()).collect()
}

#[tokio::test]
async fn what_is_compared_tells_of_forms_tokens_and_snoozed_failures() {
    let scene = Scene::start().await;
    for (args, table) in [
        (&["form", "update", &*scene.form, "--name", "other"][..], "form"),
        (&["token", "create", "--role", "viewer", "--name", "mara"], "token"),
        (&["failure", "snooze", &*scene.cause, "--for", "4h"], "cause"),
    ] {
        let before = scene.contents().await;
        assert_eq!(scene.contents().await, before, "nothing changes by itself");
        scene.cli.json(args).await;
        let after = scene.contents().await;
        let changed = changed(&before, &after);
        assert!(changed.contains(&table) && changed.contains(&"audit"), "{args:?}: {changed:?}");
    }
    scene.end().await;
}
