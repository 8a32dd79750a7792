//! How a push logs in: what is carried where, and tokens that are got and renewed.

use super::*;

#[test]
fn each_login_is_carried_where_it_belongs_and_shown_shortened() {
    for (config, credentials, header, url) in [
        (json!({}), Value::Null, None, "/api/leads"),
        (
            json!({"auth": "bearer"}),
            json!({"token": " abc "}),
            Some(("authorization", "Bearer abc")),
            "/api/leads",
        ),
        (
            json!({"auth": "basic"}),
            json!({"username": "ada", "password": "p:w"}),
            Some(("authorization", "Basic YWRhOnA6dw==")),
            "/api/leads",
        ),
        (json!({"auth": "header"}), json!({"key": "abc"}), Some(("x-api-key", "abc")), "/api/leads"),
        (
            json!({"auth": "header", "auth_name": "X-Key"}),
            json!({"key": "abc"}),
            Some(("x-key", "abc")),
            "/api/leads",
        ),
        (json!({"auth": "query"}), json!({"key": "a&b c"}), None, "/api/leads?api_key=a%26b+c"),
        (
            json!({"auth": "query", "auth_name": "k", "query": {"a": "1"}}),
            json!({"key": "abc"}),
            None,
            "/api/leads?a=1&k=abc",
        ),
    ] {
        let driven =
            PushCase::created(FULL).run(prepare(config.clone(), credentials, Value::Null).as_ref(), &[]);
        let request = &driven.requests[0];
        let secret: Vec<_> = request
            .headers
            .iter()
            .filter(|header| header.secret)
            .map(|header| (header.name.as_str(), header.value.to_str().unwrap()))
            .collect();
        assert_eq!(secret, header.into_iter().collect::<Vec<_>>(), "{config}");
        assert_eq!(request.url.as_str(), format!("{BASE}{url}"));
        assert!(
            !request.shown_url.contains("abc") && !request.shown_url.contains("b+c"),
            "{}",
            request.shown_url
        );
    }
    for (auth, missing) in [("bearer", "token"), ("basic", "username"), ("header", "key"), ("query", "key")] {
        let driven = PushCase::created(FULL).run(ready(json!({"auth": auth})).as_ref(), &[]);
        let (class, error, _) = driven.failure();
        assert_eq!((driven.requests.len(), class), (0, "credentials"));
        assert!(error.starts_with(&format!("there is no {missing}")), "{error}");
    }
}

#[test]
fn a_token_is_got_used_and_renewed() {
    let config =
        json!({"auth": "client_credentials", "token_url": "https://id.example.com/token", "scope": "leads"});
    let credentials = json!({"client_id": "me", "client_secret": "s&t"});
    let ready = prepare(config.clone(), credentials.clone(), Value::Null);
    let login = ready.login().unwrap().request(NOW, None).unwrap();
    assert_eq!(
        &login.body[..],
        b"grant_type=client_credentials&scope=leads&client_id=me&client_secret=s%26t"
    );
    assert!(login.is_secret);
    let mut basic = config;
    (basic["token_auth"], basic["audience"]) = (json!("basic"), json!("crm"));
    let other = prepare(basic, credentials, Value::Null).login().unwrap().request(NOW, None).unwrap();
    assert_eq!(&other.body[..], b"grant_type=client_credentials&scope=leads&audience=crm");
    assert!(other.headers.iter().any(|header| header.value == "Basic bWU6cyZ0"));

    let read = |status, body: &str| ready.login().unwrap().token(&Ok(response(status, &[], body)), NOW);
    assert_eq!(
        read(200, r#"{"access_token":"t1","expires_in":3600}"#).unwrap().expires_at,
        Some(NOW + Duration::from_secs(3600))
    );
    assert_eq!(
        read(200, r#"{"access_token":"t1","expires_in":"60"}"#).unwrap().expires_at,
        Some(NOW + Duration::from_secs(60))
    );
    let token = read(201, r#"{"access_token":"t1"}"#).unwrap();
    assert_eq!(token.expires_at, None);
    for (status, body, class, error) in [
        (200, "<html>", "transient", "rest: the login was answered without an access_token"),
        (200, r#"{"token":"hush"}"#, "credentials", "rest: the login was answered without an access_token"),
        (
            400,
            r#"{"error":"invalid_client","error_description":"no such client"}"#,
            "credentials",
            "rest login refused: invalid_client no such client",
        ),
        (401, "no", "credentials", "rest 401 Unauthorized: no"),
        (429, "", "throttled", "rest 429 Too Many Requests"),
        (503, "", "transient", "rest 503 Service Unavailable"),
    ] {
        let failure = read(status, body).unwrap_err();
        assert_eq!((failure.class.as_str(), failure.error.as_str()), (class, error));
    }
    let case = PushCase { token: Some(token), ..PushCase::created(FULL) };
    let driven = case.run(ready.as_ref(), &[(401, ""), (200, "")]);
    assert_eq!((driven.renewals, driven.requests.len(), driven.outcome), (1, 2, Outcome::Delivered));
    assert!(driven.requests[0].headers.iter().any(|header| header.secret && header.value == "Bearer t1"));
    let missing = prepare(
        json!({"auth": "client_credentials", "token_url": "https://id.example.com/token"}),
        Value::Null,
        Value::Null,
    );
    let unsent = PushCase::created(FULL).run(missing.as_ref(), &[]);
    assert_eq!((unsent.failure().0, unsent.requests.len()), ("credentials", 0));
}
