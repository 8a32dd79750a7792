//! The request that an event becomes, and what signs it.

use super::{Body, Compiled};
use crate::{RequestHeader, crm::unrenderable, prelude::*};
use leadline_domain::{
    rotation, signing,
    template::{Context, Place},
};

impl Compiled {
    /// The one call of a push.
    pub(crate) fn request(&self, push: &Push<'_>) -> Result<Request> {
        let has_body = push.rendered.is_some();
        let is_reshaped = self.payload.is_reshaped() && matches!(self.settings.body, Body::Event(_));
        let event = if self.settings.reads_event(has_body) || (is_reshaped && !has_body) {
            crm::event(push)?
        } else {
            Json::Null
        };
        let context = Context::new(&event, push.event, push.id);
        let target = self.settings.url.render(&context).map_err(unrenderable)?;
        let body = match push.rendered {
            Some(rendered) => rendered.clone(),
            None => match self.payload.reshape(&event).filter(|_| is_reshaped) {
                Some(reshaped) => reshaped.to_bytes(),
                None => self.settings.body(push.body, &context).map_err(unrenderable)?,
            },
        };
        let signed = self.signature(push, &body)?;
        let mut headers = self.own_headers(push, &body, &signed)?;
        for custom in &self.settings.headers {
            let value = custom.render(&context).map_err(unrenderable)?;
            headers.retain(|own| own.name != custom.name);
            headers.push(RequestHeader { name: custom.name.clone(), value, secret: custom.secret });
        }
        let request = Request::new(self.settings.method.clone(), target.url);
        let secret_version = Some(signed.version);
        Ok(Request { shown_url: target.shown, headers, body, secret_version, ..request })
    }

    fn signature(&self, push: &Push<'_>, body: &[u8]) -> Result<Signature> {
        let signers = rotation::signers(&self.secrets, push.event, push.now)
            .ok_or_else(|| unrenderable("there is no signing secret; rotate it to make one"))?;
        let all = signers.all.into_iter();
        let all = all.map(|one| signing::standard(one.secret.expose_secret(), push.id, push.now, body));
        Ok(Signature {
            version: signers.first.version,
            simple: signing::simple(signers.first.secret.expose_secret(), body),
            standard: all.collect::<Vec<_>>().join(" "),
        })
    }

    fn own_headers(&self, push: &Push<'_>, body: &Bytes, signed: &Signature) -> Result<Vec<RequestHeader>> {
        let content_type = match &self.settings.body {
            _ if body.is_empty() => None,
            Body::Template(template) if template.place() == Place::Text => Some("text/plain; charset=utf-8"),
            _ => Some("application/json"),
        };
        let timestamp = push.now.as_seconds().to_string();
        [
            content_type.map(|value| (header::CONTENT_TYPE, value)),
            Some((header::USER_AGENT, self.brand.user_agent.as_str())),
            Some((self.brand.event.clone(), self.payload.event(push.event))),
            Some((self.brand.signature.clone(), &signed.simple)),
            Some((HeaderName::from_static("webhook-id"), push.id)),
            Some((HeaderName::from_static("webhook-timestamp"), &timestamp)),
            Some((HeaderName::from_static("webhook-signature"), &signed.standard)),
        ]
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let value =
                HeaderValue::try_from(value).map_err(|error| unrenderable(format!("{name}: {error}")))?;
            Ok(RequestHeader { name, value, secret: false })
        })
        .collect()
    }
}

/// The signatures of a push.
struct Signature {
    version: i32,
    simple: String,
    standard: String,
}
