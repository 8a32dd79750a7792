//! The examples of the API's page, run as they stand there by the languages that this machine has: `scripts/client-check`
//! wants all of them.

use std::{fs, path::Path};

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Scene, left_out};
use tokio::process::Command;

/// Each language's block in the page, the file that it goes into, and what runs that.
const LANGUAGES: [(&str, &str, &[&str]); 4] = [
    ("bash", "post.sh", &["bash", "post.sh"]),
    ("python", "post.py", &["python3", "post.py"]),
    ("js", "post.cjs", &["node", "post.cjs"]),
    ("go", "post.go", &["go", "run", "post.go"]),
];

fn block(page: &str, language: &str) -> String {
    let start = format!("```{language}\n");
    page.split(&start).nth(1).unwrap().split("```").next().unwrap().to_owned()
}

async fn is_installed(program: &str) -> bool {
    let flag = if program == "go" { "version" } else { "--version" };
    Command::new(program).arg(flag).output().await.is_ok_and(|ran| ran.status.success())
}

#[tokio::test]
async fn each_example_of_the_api_posts_a_lead() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md")).unwrap();
    let scene = Scene::with(Behaviour::Good).await;
    let mut posted = 0;
    for (language, file, run) in LANGUAGES {
        let source = block(&page, language);
        if !is_installed(run[0]).await {
            left_out("LEADLINE_CLIENTS_REQUIRED", run[0]);
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), source).unwrap();
        fs::write(dir.path().join("lead.json"), sample_lead(posted).to_string()).unwrap();
        let ran = Command::new(run[0])
            .args(&run[1..])
            .current_dir(dir.path())
            .env("LEADLINE_URL", scene.daemon.url(""))
            .env("LEADLINE_KEY", &scene.key)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.contains("\"accepted\""), "{language}: {said}{}", String::from_utf8_lossy(&ran.stderr));
        posted += 1;
    }
    assert!(posted > 0, "there is neither bash nor Python here");
    scene.receiver.wait_for(posted).await;
    scene.end().await;
}
