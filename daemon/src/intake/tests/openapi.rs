//! The OpenAPI document: it lists what there is, and nothing else.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use super::http::{UUID, intake};

#[tokio::test]
async fn the_openapi_document_lists_exactly_what_there_is() {
    let intake = intake();
    let document = intake.get("/openapi.json").await.json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let listed: Vec<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        listed,
        [
            "/v1/leads",
            "/v1/leads/batch",
            "/v1/save_lead",
            "/v1/forms/{form}",
            "/v1/leads/{uuid}",
            "/healthz",
            "/readyz",
            "/openapi.json"
        ]
    );
    for (path, item) in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request =
                Request::builder().method(&method).uri(path.replace("{uuid}", UUID).replace("{form}", UUID));
            let answer = intake.ask(request.body(Body::empty()).unwrap()).await;
            let operation = &item[method.as_str().to_lowercase()];
            assert_eq!(
                operation.is_null(),
                answer.status == StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            let status = answer.status.as_str();
            assert!(
                operation.is_null() || operation["responses"][status].is_object(),
                "{method} {path}: {status}"
            );
        }
    }
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#"##).skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
