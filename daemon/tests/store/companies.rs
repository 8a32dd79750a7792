//! Companies, their intake keys and forms, and what is remembered of the posts that come by them.

use std::time::Duration;

use leadlined::{
    domain::{
        ids::{CompanyId, FormId, KeyId, LeadId, RefusalId},
        plan::Plan,
        signing::SignatureKind,
    },
    store::{
        company::{
            form::FormView,
            key::{IntakeKey, KeyRights},
            refusal::{KEPT, NewRefusal},
            signed::{Remembered, SignedPost},
        },
        operator::command::Refusal,
    },
};
use serde_json::json;

use super::bench::Bench;

fn rights() -> KeyRights {
    KeyRights {
        secret: None,
        signature: SignatureKind::default(),
        may_read: false,
        allow_origins: Vec::new(),
        rate_per_second: None,
    }
}

impl Bench {
    async fn another_company(&self, id: Option<i64>, name: &str) -> CompanyId {
        let mut command = self.command().await;
        let company = command.create_company(id, name, Plan::Pro, None).await.unwrap();
        command.commit().await.unwrap();
        company.id
    }

    async fn key(&self, rights: &KeyRights) -> IntakeKey {
        let mut command = self.command().await;
        let hash = [u8::try_from(self.count("intake_key").await).unwrap(); 32];
        let key = command.create_key(self.company, "lk_1234", &hash, rights).await.unwrap();
        command.commit().await.unwrap();
        key
    }

    fn form(&self, name: &str) -> FormView {
        FormView {
            company: self.company,
            id: FormId::generate(),
            name: name.to_owned(),
            enabled: true,
            map: json!({"your-email": "email"}),
            constants: json!({"source": "site"}),
            honeypot: Some("url".to_owned()),
            redirect: None,
            allow_origins: vec!["https://barn.example".to_owned()],
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    async fn written(&self, form: &FormView) -> FormView {
        let mut command = self.command().await;
        let written = command.write_form(form).await.unwrap();
        command.commit().await.unwrap();
        written
    }

    async fn version(&self) -> i64 {
        self.store.company_version(self.company).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_company_is_found_by_its_id_or_by_a_name_that_only_it_has() {
    let bench = Bench::new().await;
    let second = bench.another_company(Some(70), "The Mill").await;
    assert_eq!(second, CompanyId(70));
    assert_eq!(bench.another_company(None, "The Mill").await, CompanyId(71), "the next free id");
    let store = &bench.store;
    assert_eq!(store.find_company("70").await.unwrap(), second);
    assert_eq!(store.find_company("The Old Barn").await.unwrap(), bench.company);
    assert_eq!(store.company("70").await.unwrap().name, "The Mill");
    assert_eq!(store.find_optional_company(None).await.unwrap(), None);
    assert_eq!(store.find_optional_company(Some("71")).await.unwrap(), Some(CompanyId(71)));
    // One may be called like a number, which is somebody else's id first.
    let year = bench.another_company(None, "1999").await;
    assert_eq!(store.find_company("1999").await.unwrap(), year);
    bench.another_company(None, "70").await;
    assert_eq!(store.find_company("70").await.unwrap(), second);
    for (reference, expected) in [
        ("", "name a company, by its id or its name"),
        ("9", "no company \"9\""),
        ("Nobody", "no company \"Nobody\""),
        ("a\0b", "no company \"a\\0b\""),
        ("The Mill", "several companies are named \"The Mill\": use one of the ids 70, 71"),
    ] {
        assert_eq!(store.find_company(reference).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn an_id_is_taken_once_and_is_a_number_that_json_keeps() {
    let bench = Bench::new().await;
    for (id, expected) in [
        (
            bench.company.0,
            format!(
                "company {} exists already: choose another id, or none to get the next free",
                bench.company
            ),
        ),
        (0, "a company's id is a number from 1 to 9007199254740991".to_owned()),
        (1 << 53, "a company's id is a number from 1 to 9007199254740991".to_owned()),
    ] {
        let mut command = bench.command().await;
        let refusal = command.create_company(Some(id), "x", Plan::Pro, None).await.unwrap_err();
        assert_eq!(refusal.to_string(), expected);
    }
}

#[tokio::test]
async fn companies_are_listed_newest_first_page_by_page() {
    let bench = Bench::new().await;
    let [second, third] = [bench.another_company(None, "b").await, bench.another_company(None, "c").await];
    let ids = async |only, after, limit| {
        let companies = bench.store.companies(only, after, limit).await.unwrap();
        companies.iter().map(|company| company.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None, 10).await, [third, second, bench.company]);
    assert_eq!(ids(None, Some(third), 1).await, [second]);
    assert_eq!(ids(Some(second), None, 10).await, [second]);
}

#[tokio::test]
async fn what_changes_of_a_company_reaches_intake_and_its_integrations() {
    let bench = Bench::new().await;
    let before = bench.version().await;
    let mut command = bench.command().await;
    let mut company = command.company("The Old Barn").await.unwrap();
    company.name = "The New Barn".to_owned();
    company.brand = Some("Innkept/1.0".to_owned());
    command.update_company(&company).await.unwrap();
    command.set_plan(company.id, Plan::Starter).await.unwrap();
    command.pause_company(&mut company, true).await.unwrap();
    let paused = company.paused_at.unwrap();
    command.pause_company(&mut company, true).await.unwrap();
    assert_eq!(company.paused_at, Some(paused), "it is paused since the first time");
    command.set_quiet_hours(&mut company, Some(5)).await.unwrap();
    assert_eq!(command.counted_integrations(company.id).await.unwrap(), ["crm"]);
    command.commit().await.unwrap();
    let stored = bench.store.company("The New Barn").await.unwrap();
    assert_eq!((stored.plan, stored.brand.as_deref()), (Plan::Starter, Some("Innkept/1.0")));
    assert_eq!((stored.paused_at, stored.quiet_hours), (Some(paused), Some(5)));
    assert!(bench.version().await > before, "intake decides anew");
    assert!(bench.holds("(SELECT version = 2 FROM integration)").await, "pushes are made anew");
    let mut command = bench.command().await;
    let mut company = command.company("The New Barn").await.unwrap();
    command.pause_company(&mut company, false).await.unwrap();
    command.set_quiet_hours(&mut company, None).await.unwrap();
    assert_eq!((company.paused_at, company.quiet_hours), (None, None));
    assert!(
        bench.holds("(SELECT paused_at IS NOT NULL FROM company)").await,
        "nothing is seen before the commit"
    );
    command.commit().await.unwrap();
    assert!(bench.holds("(SELECT paused_at IS NULL AND quiet_since IS NULL FROM company)").await);
}

#[tokio::test]
async fn a_companys_day_counts_its_leads_and_its_silence_grows_from_the_last() {
    let mut bench = Bench::new().await;
    let quiet = bench.another_company(None, "quiet").await;
    bench.sql("UPDATE company SET created_at = now() - interval '10 hours'").await;
    bench.pending().await;
    bench.held().await;
    let day = bench.store.last_day(bench.company).await.unwrap();
    assert_eq!((day.leads, day.refused), (2, 0));
    assert_eq!(bench.store.last_day(quiet).await.unwrap().leads, 0);
    bench.sql("UPDATE lead SET received_at = now() - interval '25 hours', updated_at = now()").await;
    assert_eq!(bench.store.last_day(bench.company).await.unwrap().leads, 0, "an update is no new lead");
    let shown = bench.command().await.last_lead(bench.company).await.unwrap();
    assert!(shown.is_some() && bench.command().await.last_lead(quiet).await.unwrap().is_none());
    let last = bench.store.last_leads(&[bench.company, quiet]).await.unwrap();
    assert!(last.contains_key(&bench.company) && !last.contains_key(&quiet));
    let silent = async |seconds| {
        let silent = bench.store.silent_companies(seconds, None, None, 10).await.unwrap();
        silent.iter().map(|company| company.id).collect::<Vec<_>>()
    };
    assert_eq!(silent(3600.0).await, [quiet]);
    assert_eq!(silent(0.0).await, [quiet, bench.company], "the longest silent first");
    assert_eq!(silent(36_000_000.0).await, []);
    let behind = bench.store.silent_companies(0.0, None, Some(quiet), 10).await.unwrap();
    assert_eq!(behind.len(), 1);
    let only = bench.store.silent_companies(0.0, Some(quiet), None, 10).await.unwrap();
    assert_eq!(only[0].id, quiet);
}

#[tokio::test]
async fn a_key_is_listed_with_its_rights_and_stays_revoked_since_the_first_time() {
    let bench = Bench::new().await;
    let first = bench.key(&rights()).await;
    let more = KeyRights {
        secret: Some("0123456789abcdef".into()),
        may_read: true,
        allow_origins: vec!["https://barn.example".to_owned()],
        rate_per_second: Some(2.5),
        ..rights()
    };
    let second = bench.key(&more).await;
    assert!(!first.require_signature && second.require_signature && second.may_read);
    assert!(bench.holds("(SELECT bool_and(sealed_secret IS NULL OR sealed_secret::text NOT LIKE '%30313233%') FROM intake_key)").await);
    let keys = bench.store.intake_keys(None, None, 10).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].id > keys[1].id, "the newest first");
    let shown = keys.iter().find(|key| key.id == second.id).unwrap();
    assert_eq!((shown.rate_per_second, &shown.allow_origins), (Some(2.5), &more.allow_origins));
    assert_eq!(shown.last_used_at, None);
    let used = [(bench.company, second.id)];
    bench.store.note_keys_used(&used).await.unwrap();
    bench.sql("UPDATE key_use SET last_used_at = now() - interval '50 s'").await;
    let at = bench.store.intake_keys(None, None, 10).await.unwrap()[0].last_used_at;
    bench.store.note_keys_used(&used).await.unwrap();
    let listed = bench.store.intake_keys(None, None, 10).await.unwrap();
    assert_eq!(listed[0].last_used_at, at, "to the minute");
    assert_eq!(listed[1].last_used_at, None);
    bench.sql("UPDATE key_use SET last_used_at = now() - interval '70 s'").await;
    bench.store.note_keys_used(&[used[0], used[0]]).await.unwrap();
    assert!(bench.store.intake_keys(None, None, 1).await.unwrap()[0].last_used_at > at);
    let behind = bench.store.intake_keys(Some("The Old Barn"), Some(keys[0].id), 10).await.unwrap();
    assert_eq!(behind.iter().map(|key| key.id).collect::<Vec<_>>(), [keys[1].id]);
    let revoke = async |id| {
        let mut command = bench.command().await;
        let key = command.revoke_key(id).await;
        command.commit().await.unwrap();
        key
    };
    let revoked = revoke(first.id).await.unwrap().revoked_at;
    assert_eq!(revoke(first.id).await.unwrap().revoked_at, revoked);
    let unknown = KeyId::generate();
    assert_eq!(revoke(unknown).await.unwrap_err().to_string(), format!("no intake key {unknown}"));
}

#[tokio::test]
async fn a_signed_post_is_worked_on_once() {
    let bench = Bench::new().await;
    let post = SignedPost { company: bench.company, key: bench.key(&rights()).await.id, id_hash: [7; 32] };
    let begin = async || bench.store.begin_signed(post).await.unwrap();
    assert_eq!(begin().await, Remembered::New);
    assert_eq!(begin().await, Remembered::UnderWay);
    bench.store.end_signed(post, None).await.unwrap();
    assert_eq!(begin().await, Remembered::New, "it brought nothing");
    bench.sql("UPDATE signed_request SET at = now() - interval '31 seconds'").await;
    assert_eq!(begin().await, Remembered::New, "who began it is gone");
    let lead = LeadId::generate();
    bench.store.end_signed(post, Some(lead)).await.unwrap();
    bench.store.end_signed(post, None).await.unwrap();
    assert_eq!(begin().await, Remembered::Done(lead), "what brought a lead is not forgotten");
    assert_eq!(bench.store.forget_signed_posts().await.unwrap(), 0);
    bench.sql("UPDATE signed_request SET at = now() - interval '16 minutes'").await;
    assert_eq!(bench.store.forget_signed_posts().await.unwrap(), 1);
}

#[tokio::test]
async fn the_last_refusals_of_a_key_are_kept() {
    let bench = Bench::new().await;
    let [key, other] = [bench.key(&rights()).await.id, bench.key(&rights()).await.id];
    let refusal = |key: KeyId, id: RefusalId| NewRefusal {
        id,
        company: bench.company,
        key,
        path: "/v1/leads",
        status: 422,
        detail: "no\0 name".to_owned(),
        errors: vec![("/lead/name".to_owned(), "is required".to_owned())],
        body: Some("{\"lead\": …}".to_owned()),
    };
    let kept = usize::try_from(KEPT).unwrap();
    let mut ids: Vec<_> = (0..kept + 3).map(|_| RefusalId::generate()).collect();
    ids.sort();
    let many: Vec<_> = ids.into_iter().map(|id| refusal(key, id)).collect();
    bench.store.keep_refusals(&[refusal(other, RefusalId::generate())]).await.unwrap();
    bench.store.keep_refusals(&many).await.unwrap();
    let (company, refusals) = bench.store.refusals(key, None, 200).await.unwrap();
    assert_eq!((company, refusals.len()), (bench.company, kept));
    assert_eq!(refusals[0].id, many[kept + 2].id, "the newest first");
    assert_eq!((&*refusals[0].detail, refusals[0].status), ("no name", 422), "text that the database takes");
    assert_eq!(refusals[0].errors, many[0].errors);
    let behind = bench.store.refusals(key, Some(refusals[1].id), 1).await.unwrap().1;
    assert_eq!(behind[0].id, refusals[2].id);
    assert_eq!(bench.store.refusals(other, None, 10).await.unwrap().1.len(), 1, "each key has its own");
    assert_eq!(bench.store.last_day(bench.company).await.unwrap().refused, KEPT + 1);
    let keys = bench.store.system().await.unwrap().refused;
    let told: Vec<_> = keys.iter().map(|it| (it.key, it.refused, it.status, &*it.detail)).collect();
    assert_eq!(
        told,
        [(key.uuid(), KEPT, 422, "no name"), (other.uuid(), 1, 422, "no name")],
        "the worst first"
    );
    assert!(keys[0].company == bench.company && keys[0].prefix.starts_with("lk_") && keys[0].form.is_empty());
    bench.sql("UPDATE refusal SET at = now() - interval '25 hours'").await;
    assert!(bench.store.system().await.unwrap().refused.is_empty());
    assert_eq!(bench.store.forget_refusals().await.unwrap(), 0);
    let old = format!("UPDATE refusal SET at = now() - interval '89 days' WHERE key_id = '{}'", other.uuid());
    bench.sql(&old).await;
    assert_eq!(bench.store.forget_refusals().await.unwrap(), 0);
    let hasty = bench.store.clone().keeping(Duration::from_secs(1), Some(Duration::from_secs(88 * 86_400)));
    assert_eq!(hasty.forget_refusals().await.unwrap(), 1, "no longer than leads");
    bench.sql("UPDATE refusal SET at = now() - interval '91 days'").await;
    let patient =
        bench.store.clone().keeping(Duration::from_secs(1), Some(Duration::from_secs(730 * 86_400)));
    assert_eq!(patient.forget_refusals().await.unwrap(), u64::try_from(KEPT).unwrap());
}

#[tokio::test]
async fn a_form_is_written_found_changed_and_removed_with_what_it_refused() {
    let bench = Bench::new().await;
    let form = bench.written(&bench.form("enquiry")).await;
    assert!(form.created_at > jiff::Timestamp::UNIX_EPOCH, "the database says when");
    assert_eq!(bench.store.form_view("enquiry").await.unwrap().id, form.id);
    assert_eq!(bench.store.form_view(&form.id.to_string()).await.unwrap().honeypot.as_deref(), Some("url"));
    assert_eq!(bench.store.company_of_form(form.id).await.unwrap(), Some(bench.company));
    assert_eq!(bench.store.company_of_form(FormId::generate()).await.unwrap(), None);
    let before = bench.version().await;
    let mut command = bench.command().await;
    let (company, mut found) = command.form("enquiry").await.unwrap();
    (found.name, found.enabled) = ("contact".to_owned(), false);
    command.write_form(&found).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(company.id, bench.company);
    assert!(bench.version().await > before, "intake decides anew");
    let second = bench.written(&bench.form("enquiry")).await;
    let forms = bench.store.form_views(Some("The Old Barn"), None, 10).await.unwrap();
    assert!(forms.len() == 2 && forms[0].id > forms[1].id, "the newest first");
    assert!(forms.iter().any(|form| form.id == second.id && form.name == "enquiry"));
    let behind = bench.store.form_views(None, Some(forms[0].id), 10).await.unwrap();
    assert_eq!(behind.iter().map(|form| form.id).collect::<Vec<_>>(), [forms[1].id]);
    let refusal = NewRefusal {
        id: RefusalId::generate(),
        company: bench.company,
        key: form.id.uuid().into(),
        path: "/v1/forms",
        status: 422,
        detail: "no".to_owned(),
        errors: Vec::new(),
        body: None,
    };
    bench.store.keep_refusals(&[refusal]).await.unwrap();
    assert_eq!(bench.store.form_refusals("contact", None, 10).await.unwrap().len(), 1);
    let refused = bench.store.system().await.unwrap().refused;
    assert_eq!((&*refused[0].form, &*refused[0].prefix, refused[0].refused), ("contact", "", 1));
    let mut command = bench.command().await;
    let (_, found) = command.form("contact").await.unwrap();
    command.delete_form(&found).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!((bench.count("form").await, bench.count("refusal").await), (1, 0));
    assert_eq!(bench.store.form_view("contact").await.unwrap_err().to_string(), "no form \"contact\"");
}

#[tokio::test]
async fn a_name_of_a_form_is_taken_once_and_forms_have_an_end() {
    let bench = Bench::new().await;
    let form = bench.written(&bench.form("enquiry")).await;
    let mut command = bench.command().await;
    command.room_for_form(bench.company, "another").await.unwrap();
    let taken = command.room_for_form(bench.company, "enquiry").await.unwrap_err();
    let expected = format!(
        "company {} has a form \"enquiry\" already ({}): choose another name",
        bench.company, form.id
    );
    assert_eq!(taken.to_string(), expected);
    bench
        .sql(
            "INSERT INTO form (company_id, id, name, enabled, map, constants, allow_origins)
             SELECT company_id, gen_random_uuid(), n::text, true, map, constants, allow_origins
             FROM form CROSS JOIN generate_series(2, 200) n",
        )
        .await;
    let full = command.room_for_form(bench.company, "another").await.unwrap_err();
    assert!(matches!(full, Refusal::State(_)));
    assert_eq!(
        full.to_string(),
        format!("company {} has 200 forms, which are the most: delete one", bench.company)
    );
    for (reference, expected) in [("", "name a form, by its id or its name"), ("a\0", "no form \"a\\0\"")] {
        assert_eq!(bench.store.form_view(reference).await.unwrap_err().to_string(), expected);
    }
}
