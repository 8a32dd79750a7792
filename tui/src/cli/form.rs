//! `leadline form`.

use clap::{Args, Subcommand};
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, list_page,
    output_types::{Form, FormDeleted, Refused, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A form is what a page of a browser posts to: its id stands in the page and can only write.
Fields go to the canonical fields of their names (name, email, event-date, utm_source, …), or
where --map says; all others are kept with the lead under their own names.

Examples:
  leadline form create --company 7 --name contact --redirect https://example.com/thanks \\
      --set '{\"lead.event_type\": \"wedding\"}' --honeypot website
  leadline form create --company 7 --name de --map '{\"gaeste\": \"lead.guest_count\", \"csrf\": null}'
  leadline form show contact -o json | jq -r .path      where the page posts to
  leadline form update contact --allow-origin https://example.com --allow-origin https://www.example.com
  leadline form refusals contact                         what visitors could not send")]
pub(crate) enum FormVerb {
    /// Make a form
    Create(CreateForm),
    /// List forms, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show one form
    Show(FormReference),
    /// Change what is named; the rest stays
    Update(UpdateForm),
    /// Show what was refused: the last 100 posts that were wrong, nobody's data in them
    Refusals {
        #[command(flatten)]
        reference: FormReference,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Remove a form: pages that still post to it are told that it is gone
    Delete(FormReference),
}

/// The form meant.
#[derive(Debug, Args)]
pub(crate) struct FormReference {
    /// Its id, or its name if that is unique
    #[arg(value_name = "ID")]
    form: String,
}

/// What a form is made of.
#[derive(Debug, Args)]
pub(crate) struct CreateForm {
    /// The company that leads come in for
    #[arg(long, value_name = "ID")]
    company: String,
    /// Its name, unique in the company
    #[arg(long)]
    name: String,
    /// Field of the page -> canonical field, or null to leave it out
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    map: String,
    /// Canonical field -> value, for leads that bring none
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    set: String,
    /// A field that people do not see: who fills it in is thanked and forgotten
    #[arg(long, value_name = "FIELD")]
    honeypot: Option<String>,
    /// Where the browser goes afterwards [default: a page that says thank you]
    #[arg(long, value_name = "URL")]
    redirect: Option<String>,
    /// Only pages of this origin may post it; repeatable [default: all]
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Make it, but let it take nothing in yet
    #[arg(long)]
    disabled: bool,
}

/// A form and what to change in it.
#[derive(Debug, Args)]
pub(crate) struct UpdateForm {
    #[command(flatten)]
    reference: FormReference,
    #[command(flatten)]
    changes: FormChanges,
}

/// What to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true, args = ["new_name", "map", "set", "honeypot", "no_honeypot", "redirect",
    "no_redirect", "allow_origin", "any_origin", "enable", "disable"])]
struct FormChanges {
    /// The new name
    #[arg(long = "name", id = "new_name", value_name = "NAME")]
    name: Option<String>,
    /// The new map, all of it
    #[arg(long, value_name = "JSON")]
    map: Option<String>,
    /// The new constants, all of them
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    /// The field that people do not see
    #[arg(long, value_name = "FIELD", conflicts_with = "no_honeypot")]
    honeypot: Option<String>,
    /// Have none
    #[arg(long)]
    no_honeypot: bool,
    /// Where the browser goes afterwards
    #[arg(long, value_name = "URL", conflicts_with = "no_redirect")]
    redirect: Option<String>,
    /// Show a page that says thank you
    #[arg(long)]
    no_redirect: bool,
    /// Only pages of these origins may post it, all of them
    #[arg(long, value_name = "ORIGIN", conflicts_with = "any_origin")]
    allow_origin: Vec<String>,
    /// Every page may post it
    #[arg(long)]
    any_origin: bool,
    /// Let it take leads in
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let it take nothing in
    #[arg(long)]
    disable: bool,
}

impl FormVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request_id = String::new();
        let form = match self {
            Self::Create(create) => client.create_form(create.request()).await?,
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request =
                    v1::ListFormsRequest { company, page_size: page.limit, page_token: page.token() };
                let answer = client.list_forms(request).await?;
                let forms: Vec<Form> = shapes(answer.forms);
                return list_page(context, &forms, &answer.next_page_token);
            }
            Self::Show(FormReference { form }) => client.get_form(v1::GetFormRequest { form }).await?,
            Self::Update(update) => client.update_form(update.request()).await?,
            Self::Refusals { reference, page } => {
                let request = v1::ListFormRefusalsRequest {
                    form: reference.form,
                    page_size: page.limit,
                    page_token: page.token(),
                };
                let answer = client.list_form_refusals(request).await?;
                let refusals: Vec<Refused> = shapes(answer.refusals);
                return list_page(context, &refusals, &answer.next_page_token);
            }
            Self::Delete(FormReference { form }) => {
                let deleted = client.delete_form(v1::DeleteFormRequest { request_id, form }).await?;
                return context.out.object(&FormDeleted { id: deleted.id });
            }
        };
        context.out.object(&Form::from(form))
    }
}

impl CreateForm {
    fn request(self) -> v1::CreateFormRequest {
        v1::CreateFormRequest {
            request_id: String::new(),
            company: self.company,
            name: self.name,
            map: self.map,
            constants: self.set,
            honeypot: self.honeypot.unwrap_or_default(),
            redirect: self.redirect.unwrap_or_default(),
            allow_origins: self.allow_origin,
            disabled: self.disabled,
        }
    }
}

impl UpdateForm {
    fn request(self) -> v1::UpdateFormRequest {
        let it = self.changes;
        let gone = |given: Option<String>, none: bool| if none { Some(String::new()) } else { given };
        v1::UpdateFormRequest {
            request_id: String::new(),
            form: self.reference.form,
            name: it.name,
            map: it.map,
            constants: it.set,
            honeypot: gone(it.honeypot, it.no_honeypot),
            redirect: gone(it.redirect, it.no_redirect),
            allow_origins: it.allow_origin,
            any_origin: it.any_origin,
            enabled: (it.enable || it.disable).then_some(it.enable),
        }
    }
}
