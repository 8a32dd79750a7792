//! Forms in a real browser: the form of the docs is filled in and sent, and a script of a page uses a key.
//!
//! Chromium is no part of the usual machine, so the test passes without it and says so; `make browser-check` requires it.

use std::{
    env,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use leadline_proto::v1::{self, form_service_client::FormServiceClient};
use leadline_tests::{Scene, request_id, wait_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
};

/// Set by `make browser-check`.
const REQUIRED: &str = "LEADLINE_BROWSER_REQUIRED";

fn browser() -> Option<String> {
    let path = env::var("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().find(|name| env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    found.map(|&name| name.to_owned())
}

/// Opens a page and keeps the browser open until this is dropped.
fn open(browser: &str, url: &str, profiles: &Path, name: &str) -> Child {
    Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profiles.join(name).display()))
        .arg(url)
        // What it forgets when it is killed goes with its profile.
        .env("TMPDIR", profiles)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Serves pages by their paths, and notes what was asked for.
async fn pages(listener: TcpListener, pages: Vec<(&'static str, String)>, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 16 * 1024];
        let read = stream.read(&mut head).await.unwrap_or(0);
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let page = pages.iter().find(|(known, _)| *known == path).map_or("", |(_, page)| page);
        asked.lock().unwrap().push(path);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            page.len()
        );
        drop(stream.write_all(answer.as_bytes()).await);
    }
}

/// The form of the docs, filled in and sent by the page itself.
fn page_of_the_docs(action: &str) -> String {
    let docs = include_str!("../../docs/forms.md");
    let form = docs.split("```html\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let form = form.replace("https://leads.example.com/v1/forms/FORM", action);
    format!(
        "<!doctype html><meta charset=utf-8>{form}<script>
        const values = {{ name: 'Zoë Patel', email: 'zoe@example.com', event_date: '2026-09-12', guest_count: '80',
            message: 'Two\\nlines & 50%' }};
        for (const name in values) document.forms[0].elements[name].value = values[name];
        document.forms[0].elements.gdpr_consent.checked = true;
        document.forms[0].requestSubmit();
        </script>"
    )
}

/// A script that posts JSON with a key, and says what came of it.
fn page_with_a_key(url: &str, key: &str) -> String {
    format!(
        "<!doctype html><script>
        const lead = {{ name: 'A', email: 'script@example.com', event_type: 'other', event_date: '2026-09-12',
            guest_count: 2, gdpr_consent: false }};
        fetch('{url}', {{ method: 'POST', body: JSON.stringify({{ lead }}),
            headers: {{ Authorization: 'Bearer {key}', 'Content-Type': 'application/json' }} }})
            .then(async answer => location.href = '/said-' + answer.status + '-' + ((await answer.json()).status))
            .catch(() => location.href = '/said-nothing');
        </script>"
    )
}

#[tokio::test]
async fn a_browser_posts_the_form_of_the_docs_and_a_script_uses_its_key() {
    let Some(browser) = browser() else {
        assert!(env::var_os(REQUIRED).is_none(), "no Chromium in PATH: apt-get install chromium");
        println!("skipped: no Chromium in PATH; `make browser-check` requires it");
        return;
    };
    let Scene { daemon, operator, .. } = Scene::set().no_webhook().start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = format!("http://{}", listener.local_addr().unwrap());
    let form = v1::CreateFormRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "contact".into(),
        constants: r#"{"lead.event_type": "wedding"}"#.into(),
        honeypot: "website".into(),
        redirect: format!("{site}/thanks"),
        allow_origins: vec![site.clone()],
        ..Default::default()
    };
    let form = FormServiceClient::new(daemon.control().await)
        .create_form(form)
        .await
        .unwrap()
        .into_inner()
        .form
        .unwrap();
    let key = |origins: Vec<String>| {
        let request = v1::CreateIntakeKeyRequest {
            request_id: request_id(),
            company: "7".into(),
            allow_origins: origins,
            ..Default::default()
        };
        async { operator.keys().create_intake_key(request).await.unwrap().into_inner().key }
    };
    let (own, other) = (key(vec![site.clone()]).await, key(Vec::new()).await);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let known = vec![
        ("/form", page_of_the_docs(&daemon.url(&form.path))),
        ("/own", page_with_a_key(&daemon.url("/v1/leads"), &own)),
        ("/other", page_with_a_key(&daemon.url("/v1/leads"), &other)),
    ];
    let mut serving = JoinSet::new();
    serving.spawn(pages(listener, known, Arc::clone(&asked)));
    let profiles = tempfile::tempdir().unwrap();
    for (page, arrives) in [("/form", "/thanks"), ("/own", "/said-202-accepted"), ("/other", "/said-403-403")]
    {
        let window = open(&browser, &format!("{site}{page}"), profiles.path(), &page[1..]);
        wait_until(arrives, async || asked.lock().unwrap().iter().any(|path| path == arrives)).await;
        drop(window);
    }
    let pool = daemon.database().pool().await;
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM event ORDER BY id").fetch_all(&pool).await.unwrap();
    let events: Vec<serde_json::Value> =
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    assert_eq!(events.len(), 2);
    let lead = &events[0]["lead"];
    assert_eq!(
        (&lead["name"], &lead["guest_count"], &lead["gdpr_consent"], &lead["message"]),
        (&"Zoë Patel".into(), &80.into(), &true.into(), &"Two\r\nlines & 50%".into())
    );
    assert_eq!((&lead["event_type"], &lead["website"]), (&"wedding".into(), &serde_json::Value::Null));
    daemon.stop().await;
}
