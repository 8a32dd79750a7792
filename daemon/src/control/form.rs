//! Forms: checked when they are saved, so that a page of a browser meets no mistake of the operator's.

use leadline_proto::v1::{self, form_service_server::FormService};
use serde_json::Value;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert::time, words};
use crate::{
    domain::{
        form::Form,
        ids::{CompanyId, FormId},
    },
    store::{
        company::form::FormView,
        operator::command::{Command, Refusal},
    },
};

/// The longest name of a field, in bytes, and the longest address to go to afterwards.
const FIELD_MAX: usize = 200;
const REDIRECT_MAX: usize = 2000;

#[tonic::async_trait]
impl FormService for Control {
    async fn create_form(&self, request: Request<v1::CreateFormRequest>) -> Reply<v1::CreateFormResponse> {
        self.mutate(request, |command, request| async move {
            let (command, form) = create(command, request).await?;
            Ok((command, v1::CreateFormResponse { form: Some(form) }))
        })
        .await
    }

    async fn list_forms(&self, request: Request<v1::ListFormsRequest>) -> Reply<v1::ListFormsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let forms = self.store.form_views(check::optional(&request.company), after, limit).await?;
        let next_page_token = words::next_page(&forms, limit, |form| form.id.to_string());
        let forms = forms.into_iter().map(v1::Form::from).collect();
        Ok(Response::new(v1::ListFormsResponse { forms, next_page_token }))
    }

    async fn get_form(&self, request: Request<v1::GetFormRequest>) -> Reply<v1::GetFormResponse> {
        let form = self.store.form_view(&request.get_ref().form).await?;
        Ok(Response::new(v1::GetFormResponse { form: Some(form.into()) }))
    }

    async fn update_form(&self, request: Request<v1::UpdateFormRequest>) -> Reply<v1::UpdateFormResponse> {
        self.mutate(request, |command, request| async move {
            let (command, form) = update(command, request).await?;
            Ok((command, v1::UpdateFormResponse { form: Some(form) }))
        })
        .await
    }

    async fn delete_form(&self, request: Request<v1::DeleteFormRequest>) -> Reply<v1::DeleteFormResponse> {
        self.mutate(request, |mut command, request| async move {
            let (company, form) = command.form(&request.form).await?;
            command.delete_form(&form).await?;
            command.audit(company.id, &target(form.id), Some(form.audited()), None).await?;
            Ok((command, v1::DeleteFormResponse { id: form.id.to_string() }))
        })
        .await
    }

    async fn list_form_refusals(
        &self,
        request: Request<v1::ListFormRefusalsRequest>,
    ) -> Reply<v1::ListFormRefusalsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let refusals = self.store.form_refusals(&request.form, after, limit).await?;
        let next_page_token = words::next_page(&refusals, limit, |refusal| refusal.id.to_string());
        let refusals = refusals.into_iter().map(v1::Refused::from).collect();
        Ok(Response::new(v1::ListFormRefusalsResponse { refusals, next_page_token }))
    }
}

async fn create(
    mut command: Box<Command>,
    request: v1::CreateFormRequest,
) -> Result<(Box<Command>, v1::Form), Refusal> {
    let name = check::name(&request.name)?;
    let company = command.company(&request.company).await?;
    let form = FormView {
        company: company.id,
        id: FormId::generate(),
        name: name.to_owned(),
        enabled: !request.disabled,
        map: check::object("map", &request.map)?,
        constants: check::object("constants", &request.constants)?,
        honeypot: honeypot(&request.honeypot)?,
        redirect: redirect(&request.redirect)?,
        allow_origins: check::origins(&request.allow_origins)?,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    };
    command.room_for_form(company.id, name).await?;
    save(command, &form, None).await
}

async fn update(
    mut command: Box<Command>,
    request: v1::UpdateFormRequest,
) -> Result<(Box<Command>, v1::Form), Refusal> {
    let (company, mut form) = command.form(&request.form).await?;
    let before = form.audited();
    if let Some(name) = &request.name {
        let name = check::name(name)?;
        if name != form.name {
            command.room_for_form(company.id, name).await?;
            form.name = name.to_owned();
        }
    }
    if let Some(map) = &request.map {
        form.map = check::object("map", map)?;
    }
    if let Some(constants) = &request.constants {
        form.constants = check::object("constants", constants)?;
    }
    if let Some(field) = &request.honeypot {
        form.honeypot = honeypot(field)?;
    }
    if let Some(url) = &request.redirect {
        form.redirect = redirect(url)?;
    }
    match (request.any_origin, request.allow_origins.is_empty()) {
        (true, true) => form.allow_origins.clear(),
        (true, false) => check::invalid("name the origins, or let every page post: not both")?,
        (false, true) => {}
        (false, false) => form.allow_origins = check::origins(&request.allow_origins)?,
    }
    form.enabled = request.enabled.unwrap_or(form.enabled);
    save(command, &form, Some(before)).await
}

/// Writes a form that is whole, with its line in the audit.
async fn save(
    mut command: Box<Command>,
    form: &FormView,
    before: Option<Value>,
) -> Result<(Box<Command>, v1::Form), Refusal> {
    Form::new(&form.map, &form.constants, form.honeypot.as_deref())
        .or_else(|error| check::invalid(error.to_string()))?;
    let saved = command.write_form(form).await?;
    command.audit(form.company, &target(form.id), before, Some(saved.audited())).await?;
    Ok((command, saved.into()))
}

fn honeypot(field: &str) -> Result<Option<String>, Refusal> {
    match field.trim() {
        "" => Ok(None),
        field if field.len() > FIELD_MAX || field.chars().any(char::is_control) => {
            check::invalid(format!("honeypot: the name of a field, at most {FIELD_MAX} bytes in one line"))
        }
        field => Ok(Some(field.to_owned())),
    }
}

/// Where a browser may be sent: a page, and nothing that runs in one.
fn redirect(url: &str) -> Result<Option<String>, Refusal> {
    if url.is_empty() {
        return Ok(None);
    }
    let is_page =
        url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if url.len() > REDIRECT_MAX || !is_page || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return check::invalid(format!(
            "redirect {url:?}: write the address of a page, as https://example.com/thanks"
        ));
    }
    Ok(Some(url.to_owned()))
}

fn target(form: FormId) -> String {
    format!("form {form}")
}

/// Where a form is posted to.
fn path(form: FormId) -> String {
    format!("/v1/forms/{form}")
}

impl From<FormView> for v1::Form {
    fn from(form: FormView) -> Self {
        let CompanyId(company_id) = form.company;
        Self {
            id: form.id.to_string(),
            company_id,
            name: form.name,
            enabled: form.enabled,
            map: form.map.to_string(),
            constants: form.constants.to_string(),
            honeypot: form.honeypot.unwrap_or_default(),
            redirect: form.redirect.unwrap_or_default(),
            allow_origins: form.allow_origins,
            created_at: Some(time(form.created_at)),
            path: path(form.id),
        }
    }
}
