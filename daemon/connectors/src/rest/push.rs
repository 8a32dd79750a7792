//! A push to a custom CRM: one call, after a look-up where the lead may be there already.

use super::{
    Compiled,
    settings::{Body, Find, ID_IN_PATH},
};
use crate::{RequestHeader, prelude::*, webhook::url::UrlTemplate};
use leadline_domain::template::{Context, percent_encode};

/// Under which the CRM's id of a lead is kept.
pub(super) const ID: &str = "id";

impl Compiled {
    pub(super) async fn bring(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        self.key()?;
        let is_update = push.event == EventKind::Updated;
        let mut there = ctx.id(ID).filter(|_| is_update);
        if let (Some(id), Some((method, target))) = (&there, &self.settings.update) {
            let answer = ctx.send(self.send(push, method, target, Some(id))?).await?;
            // What the CRM has deleted is looked for, and made anew.
            if !answer.is_one_of(&[404, 410]) {
                return self.conclude(push, &answer, ctx).await;
            }
            there = None;
        }
        let may_be_there = if is_update { there.is_none() } else { push.is_repeat };
        if let Some(find) = self.settings.find.as_ref().filter(|_| may_be_there)
            && let Some(id) = self.found(&ctx.send(self.look_up(find, push)?).await?, ctx.now)?
        {
            ctx.keep(&[(ID, &id)]).await;
            // Only a repeat looks for what it creates: an earlier attempt has brought it.
            if !is_update {
                return Ok(());
            }
            there = Some(id);
        }
        let request = match (&self.settings.update, &there) {
            (Some((method, target)), Some(id)) => self.send(push, method, target, Some(id))?,
            _ => self.send(push, &self.settings.method, &self.settings.target, None)?,
        };
        let answer = ctx.send(request).await?;
        self.conclude(push, &answer, ctx).await
    }

    fn look_up(&self, find: &Find, push: &Push<'_>) -> Result<Request> {
        let event = crm::event(push)?;
        let context = Context::new(&event, push.event, push.id);
        Ok(self.logged_in(self.request(Method::GET, &find.target, &context, None)?))
    }

    fn send(
        &self,
        push: &Push<'_>,
        method: &Method,
        target: &UrlTemplate,
        id: Option<&String>,
    ) -> Result<Request> {
        let event = crm::event(push)?;
        let context = Context::new(&event, push.event, push.id);
        let mut request = self.request(method.clone(), target, &context, id)?;
        request.body = push.rendered.cloned().unwrap_or_default();
        let lead = event.at("lead.uuid").map(crm::text).unwrap_or_default().to_ascii_uppercase();
        let own = [
            (header::CONTENT_TYPE, self.settings.content_type().to_owned()),
            (HeaderName::from_static("idempotency-key"), idempotency_key(&lead, push)),
            (HeaderName::from_static("x-lead-id"), lead),
        ];
        for (name, value) in own {
            let value = HeaderValue::try_from(value)
                .map_err(|error| crm::unrenderable(format!("{name}: {error}")))?;
            // The operator's own goes before ours.
            if request.headers.iter().all(|header| header.name != name) {
                request = request.header(name, value);
            }
        }
        Ok(self.logged_in(request))
    }

    pub(super) fn request(
        &self,
        method: Method,
        target: &UrlTemplate,
        context: &Context<'_>,
        id: Option<&String>,
    ) -> Result<Request> {
        let mut target = target.render(context).map_err(crm::unrenderable)?;
        if let Some(id) = id {
            let mut encoded = String::new();
            percent_encode(id, &mut encoded);
            if matches!(id.as_str(), "" | "." | "..") {
                return Err(crm::unrenderable(format!("the CRM's id {id:?} cannot stand in a path")));
            }
            let path = target.url.path().replace(ID_IN_PATH, &encoded);
            target.url.set_path(&path);
            target.shown = target.shown.replace(ID_IN_PATH, &encoded);
        }
        let mut request = Request { shown_url: target.shown, ..Request::new(method, target.url) };
        for custom in &self.settings.headers {
            let value = custom.render(context).map_err(crm::unrenderable)?;
            request.headers.retain(|own| own.name != custom.name);
            request.headers.push(RequestHeader { name: custom.name.clone(), value, secret: custom.secret });
        }
        Ok(request)
    }

    pub(super) fn logged_in(&self, request: Request) -> Request {
        match &self.key {
            Ok(key) => self.settings.auth.apply(request, key),
            Err(_) => request,
        }
    }

    /// What the push came to.
    async fn conclude(&self, push: &Push<'_>, answer: &Response, ctx: &mut Conversation<'_>) -> Result<()> {
        if let Some(id) = self.accepted(answer, ctx)? {
            ctx.keep(&[(ID, &id)]).await;
        }
        if matches!(self.settings.body, Body::Event) { Ok(()) } else { crm::keep_name(push, ctx).await }
    }
}

/// The same on each repeat. Two updates of a lead are two things to do, so theirs has the delivery too.
fn idempotency_key(lead: &str, push: &Push<'_>) -> String {
    match push.event {
        EventKind::Updated => format!("{lead}:{}:{}", push.event.as_str(), push.id),
        event => format!("{lead}:{}", event.as_str()),
    }
}
