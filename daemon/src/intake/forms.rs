//! What pages of browsers post: forms with a public id that can only write. Nothing that is answered says anything of
//! anybody's data.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    IntakeApp,
    accept::{self, Endpoint, Post},
    body,
    intake_store::IntakeStore,
    problem::ProblemDetails,
    routes::{self, Sender},
    views::{Credential, KeyMatch},
};
use crate::{
    domain::{
        form::{FIELDS_MAX, Posted},
        ids::FormId,
    },
    doors::security::{Attempted, AttemptedBy, Patience},
};

const PATH: &str = "/v1/forms/{form}";
/// How many posts of one client a form takes at once, and how many a second after that.
const AT_ONCE: u32 = 10;
const PER_SECOND: f64 = 0.5;

type Fields = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// `POST /v1/forms/{form}`.
pub(super) async fn post_form<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    Extension(client): Extension<Sender>,
    form: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = form.ok().and_then(|Path(form)| form.parse::<FormId>().ok());
    let page = Page::of(&headers);
    let matched = match find(&app, &client, form).await {
        Ok(found) => found,
        Err(problem) => {
            body::discard(&headers, body, client).await;
            return page.refuse(&problem);
        }
    };
    let posted = post(&app, client, &matched, &headers, body).await;
    match posted {
        Ok(current) => page.thank(current.form().and_then(|form| form.redirect.as_deref())),
        Err(problem) => {
            routes::count_refusal(&problem);
            page.refuse(&problem)
        }
    }
}

/// The form, which may have changed since it was read. One that is known is found whatever others behind the same address
/// tried, and wrong keys are nothing to forms.
async fn find<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: &Sender,
    form: Option<FormId>,
) -> Result<(Credential, KeyMatch), ProblemDetails> {
    if let Some(found) = form.and_then(|form| app.views.kept_form(form)) {
        return Ok(found);
    }
    let is_patient = app.security.patience(Attempted::UnknownForm, client.address) != Patience::None;
    if let Some(form) = form.filter(|_| is_patient)
        && let Some(company) = app.views.company_of_form(form).await?
        && let credential = Credential::form(company, form)
        && let Some(matched) = app.views.open(&credential).await?
    {
        return Ok((credential, matched));
    }
    let patience = app.security.wrong(Attempted::UnknownForm, client.address, AttemptedBy::default());
    Err(routes::turn_away(patience, ProblemDetails::no_form(), ProblemDetails::too_many_unknown_forms())
        .await)
}

/// Takes a post in. Answers the form as it stands now.
async fn post<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: Sender,
    (credential, matched): &(Credential, KeyMatch),
    headers: &HeaderMap,
    body: Body,
) -> Result<KeyMatch, ProblemDetails> {
    let received = async {
        routes::check_origin(app, &client, credential, matched, headers).await?;
        let place = app.places.request(matched.key_id(), matched.view.id)?;
        let rate = app.form_rates.admit_some((matched.key_id(), client.address), PER_SECOND, AT_ONCE);
        rate.map_err(ProblemDetails::too_many_posts)?;
        Ok((place, BodyKind::of(headers)?))
    };
    let (place, kind) = match received.await {
        Ok(received) => received,
        Err(problem) => {
            body::discard(headers, body, client).await;
            return Err(problem);
        }
    };
    let room = app.places.room(matched.view.id);
    let (body, _room, _held) = body::read(body, room, (client, place)).await?;
    // The event is made of the form, and a bot's post commits nothing that would notice that it is gone.
    let current = app.views.open_current(credential).await?.ok_or_else(|| credential.unknown())?;
    let read = match read(kind, body).await {
        Ok(fields) => take_in(app, credential, &current, headers, &fields).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = &read
        && problem.status().is_client_error()
    {
        app.refusals.keep(&current, PATH, problem, None);
    }
    read.map(|()| current)
}

async fn take_in<S: IntakeStore>(
    app: &IntakeApp<S>,
    credential: &Credential,
    matched: &KeyMatch,
    headers: &HeaderMap,
    fields: &Fields,
) -> Result<(), ProblemDetails> {
    let Some(form) = matched.form().map(|form| &form.form) else { return Err(ProblemDetails::no_form()) };
    let page = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let event = match form.event(fields, page) {
        Posted::Lead(event) => event.to_bytes(),
        Posted::Bot => {
            let told = "the field that people do not see was filled in: the sender was thanked, and nothing was kept";
            app.refusals.keep(matched, PATH, &ProblemDetails::new(StatusCode::OK, told), None);
            return Ok(());
        }
    };
    let none = HeaderMap::new();
    let post = Post { endpoint: Endpoint::Leads, credential, headers: &none, body: &event };
    let accepted = accept::accept(app, post, matched.clone()).await;
    let receipt = accepted.map_err(|problem| problem.with_pointers(|error| form.by_field(error, fields)))?;
    routes::count(&receipt);
    Ok(())
}

/// How a browser encodes a form.
enum BodyKind {
    UrlEncoded,
    /// With its boundary.
    Multipart(String),
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Result<Self, ProblemDetails> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(unsupported());
        }
        let kind =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::UrlEncoded);
        }
        multer::parse_boundary(kind).map(Self::Multipart).map_err(|_| unsupported())
    }
}

fn unsupported() -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a form is posted as application/x-www-form-urlencoded or multipart/form-data, not compressed",
    )
}

/// The fields of a body, in their order.
async fn read(kind: BodyKind, body: Bytes) -> Result<Fields, ProblemDetails> {
    let unreadable = |detail: &str| {
        ProblemDetails::new(StatusCode::BAD_REQUEST, format!("the form cannot be read: {detail}"))
    };
    let mut fields = Fields::new();
    match kind {
        BodyKind::UrlEncoded => {
            for (name, text) in url::form_urlencoded::parse(&body).take(FIELDS_MAX + 1) {
                fields.push((Cow::Owned(name.into_owned()), Cow::Owned(text.into_owned())));
            }
        }
        BodyKind::Multipart(boundary) => {
            let whole = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
            let mut parts = multer::Multipart::new(whole, boundary);
            while let Some(part) = parts.next_field().await.map_err(|error| unreadable(&error.to_string()))? {
                let name = part.name().unwrap_or_default().to_owned();
                let is_file = part.file_name().is_some_and(|file| !file.is_empty());
                let text = part.text().await.map_err(|error| unreadable(&error.to_string()))?;
                if is_file {
                    return Err(ProblemDetails::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        format!("{name}: files are not taken: take the field out of the form"),
                    ));
                }
                fields.push((Cow::Owned(name), Cow::Owned(text)));
                if fields.len() > FIELDS_MAX {
                    break;
                }
            }
        }
    }
    if fields.len() > FIELDS_MAX {
        return Err(unreadable(&format!("more than {FIELDS_MAX} fields")));
    }
    if fields.iter().any(|(name, text)| name.contains('\0') || text.contains('\0')) {
        return Err(unreadable("a NUL character"));
    }
    Ok(fields)
}

/// Who reads the answer: a person, or a script of the page.
enum Page {
    Person,
    Script,
}

#[derive(Serialize)]
struct Thanks<'a> {
    status: &'static str,
    redirect: Option<&'a str>,
}

impl Page {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("text/html") { Self::Person } else { Self::Script }
    }

    /// The same words for people and for bots.
    fn thank(&self, redirect: Option<&str>) -> Response {
        match (self, redirect) {
            (Self::Script, redirect) => {
                (StatusCode::ACCEPTED, Json(Thanks { status: "accepted", redirect })).into_response()
            }
            (Self::Person, Some(url)) => Redirect::to(url).into_response(),
            (Self::Person, None) => {
                page(StatusCode::OK, "Thank you", &["Your message has arrived.".to_owned()])
            }
        }
    }

    fn refuse(&self, problem: &ProblemDetails) -> Response {
        match self {
            Self::Script => problem.to_response(),
            Self::Person => {
                let errors = problem
                    .errors()
                    .iter()
                    .map(|error| format!("{}: {}", error.pointer.trim_start_matches('/'), error.detail));
                let mut lines: Vec<String> = errors.collect();
                if lines.is_empty() {
                    lines.push(problem.detail().to_owned());
                }
                lines.push("Please go back, correct it and send it once more.".to_owned());
                let mut response = page(problem.status(), "That did not work", &lines);
                problem.put_headers(response.headers_mut());
                response
            }
        }
    }
}

/// A page without scripts, pictures or anything of others.
fn page(status: StatusCode, title: &str, lines: &[String]) -> Response {
    let lines: String = lines.iter().map(|line| format!("<p>{}</p>\n", escaped(line))).collect();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n\
         <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:3em auto;padding:0 1em}}</style>\n\
         <h1>{title}</h1>\n{lines}</html>\n"
    );
    let mut response = (status, Html(html)).into_response();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
