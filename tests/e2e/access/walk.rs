//! Every method of the control API, by its descriptor.

use std::{collections::BTreeMap, sync::LazyLock};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1::{
    self, Role, company_service_client::CompanyServiceClient, delivery_service_client::DeliveryServiceClient,
    token_service_client::TokenServiceClient,
};
use leadline_tests::{Cli, Daemon, Operator, post_lead, request_id, wait_until};
use prost::{Message as _, bytes::Bytes};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, Value,
};
use serde_json::json;
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{Authority, Wire, connect, connect_from, daemon, show, token, tokens, wire};

/// What clients ask before they know the API.
const STANDARD: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How many wrong tokens of an address cost it nothing.
const FREE: usize = 10;

/// A message of any type, as its bytes.
#[derive(Clone, Debug, Default)]
struct Raw(Bytes);

impl prost::Message for Raw {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge(&mut self, mut buffer: impl prost::bytes::Buf) -> Result<(), prost::DecodeError> {
        self.0 = buffer.copy_to_bytes(buffer.remaining());
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buffer: &mut impl prost::bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {}
}

pub(super) fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(leadline_proto::DESCRIPTORS).unwrap());
    POOL.clone()
}

pub(super) fn methods() -> Vec<MethodDescriptor> {
    pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

pub(super) fn path(method: &MethodDescriptor) -> PathAndQuery {
    format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().unwrap()
}

/// Every method that a client may call, by its path: what clients ask before they know the API, too.
fn paths() -> Vec<PathAndQuery> {
    let standard = STANDARD.map(|path| path.parse().unwrap());
    let all: Vec<PathAndQuery> = methods().iter().map(path).chain(standard).collect();
    assert!(all.len() > 65, "{}", all.len());
    all
}

/// Calls a method with these bytes and reads the first answer; nothing if none comes for a while.
pub(super) async fn call(wire: &Wire, path: PathAndQuery, bytes: Vec<u8>) -> Result<Bytes, tonic::Status> {
    let mut grpc = Grpc::new(wire.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Raw, Raw>::default();
    let answer = grpc.server_streaming(Request::new(Raw(bytes.into())), path, codec).await?;
    // A watch has nothing to say for a while: what was refused is said at once.
    match tokio::time::timeout(std::time::Duration::from_secs(20), answer.into_inner().message()).await {
        Ok(told) => told.map(|told| told.unwrap_or_default().0),
        Err(_) => Ok(Bytes::new()),
    }
}

/// The machine reason of a refusal.
pub(crate) fn reason(status: &tonic::Status) -> String {
    let details = tonic_types::StatusExt::get_error_details(status);
    let info = details.error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    assert_eq!(info.domain, "leadline");
    info.reason.clone()
}

#[tokio::test]
async fn without_a_good_token_every_method_turns_away() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let (revoked_id, revoked) = token(&daemon, Role::Admin, "", false).await;
    let revoke = v1::RevokeTokenRequest { request_id: request_id(), id: revoked_id };
    tokens(&daemon).await.revoke_token(revoke).await.unwrap();
    let (_, expired) = token(&daemon, Role::Admin, "", false).await;
    let pool = daemon.database().pool().await;
    let past = "UPDATE token SET expires_at = now() - interval '1 second' WHERE revoked_at IS NULL";
    sqlx::query(past).execute(&pool).await.unwrap();

    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    let nothing = show(channel.clone(), None);
    for path in paths() {
        let told = call(&nothing, path.clone(), Vec::new()).await.unwrap_err();
        assert_eq!(told.code(), Code::Unauthenticated, "{path} without a token: {told:?}");
        assert_eq!(told.message(), "show a token that an operator has made on the daemon's machine");
        assert_eq!(reason(&told), "NO_TOKEN", "{path}");
    }
    // Who shows more wrong ones is slowed down, and at last not looked at: every address of this machine is somebody else.
    let (bad, mut host) = (["llt_wrong", &*revoked, &*expired], 1);
    let port = daemon.control_remote().port();
    for few in paths().chunks(FREE / bad.len()) {
        host += 1;
        let channel = connect_from([127, 0, 0, host].into(), port, &authority.file(), None).await.unwrap();
        for (path, bad) in few.iter().flat_map(|path| bad.map(|bad| (path, bad))) {
            let told = call(&show(channel.clone(), Some(bad)), path.clone(), Vec::new()).await.unwrap_err();
            assert_eq!(told.code(), Code::Unauthenticated, "{path} with {bad}: {told:?}");
            let why = "this token is unknown, expired or revoked: ask an admin for a new one";
            assert_eq!((told.message(), &*reason(&told)), (why, "BAD_TOKEN"), "{path} with {bad}");
        }
    }
    daemon.stop().await;
}

#[tokio::test]
async fn each_role_calls_what_its_rules_say_and_is_told_why_not() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    let option = pool().get_extension_by_name("leadline.control.v1.role").unwrap();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let (_, secret) = token(&daemon, role, "", false).await;
        let wire = show(channel.clone(), Some(&secret));
        let who = TokenServiceClient::new(wire.clone()).who_am_i(v1::WhoAmIRequest {}).await;
        let who = who.unwrap().into_inner();
        assert_eq!((who.role, who.masked), (role.into(), role == Role::Viewer));
        for method in methods() {
            let needed = method.options().get_extension(&option).as_enum_number().unwrap_or_default();
            assert_ne!(needed, 0, "{} has no rule", method.name());
            let may = i32::from(role) >= needed;
            assert_eq!(who.may_call.iter().any(|name| name == method.name()), may, "{}", method.name());
            let told = call(&wire, path(&method), Vec::new()).await.err();
            let is_denied = told.as_ref().is_some_and(|told| told.code() == Code::PermissionDenied);
            assert_eq!(is_denied, !may, "{} as {role:?}: {told:?}", method.name());
            // Whatever it says no to, an empty request is refused with a reason.
            let why = told.as_ref().map(reason);
            assert!(may || why.as_deref() == Some("NEEDS_ROLE"), "{} as {role:?}: {why:?}", method.name());
            if let Some(told) = told.filter(|_| !may) {
                let told = told.message();
                assert!(told.starts_with(&format!("{} needs the role ", method.name())), "{told}");
            }
        }
        for path in STANDARD {
            // Reflection is asked for nothing here, and says so.
            let told = call(&wire, path.parse().unwrap(), Vec::new()).await.err().map(|told| told.code());
            assert!(matches!(told, None | Some(Code::InvalidArgument)), "{path} as {role:?}: {told:?}");
        }
    }
    daemon.stop().await;
}

/// What is no message, or one that no server takes, is refused with a reason, whoever reads it first.
#[tokio::test]
async fn what_no_method_sees_is_refused_with_a_reason() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    // An admin's requests are read by the methods alone, a viewer's before them.
    for role in [Role::Admin, Role::Viewer] {
        let (_, secret) = token(&daemon, role, "", false).await;
        let wire = show(channel.clone(), Some(&secret));
        let mut refused = 0;
        for method in methods() {
            // The tag of a field that has no number.
            if let Err(told) = call(&wire, path(&method), vec![0x07]).await {
                reason(&told);
                refused += 1;
            }
        }
        assert!(refused > 65, "{refused}");
        let long = vec![0; 5 * 1024 * 1024];
        let told = call(&wire, path(&methods()[0]), long).await.unwrap_err();
        assert!(["MESSAGE_TOO_LONG", "UNREADABLE_REQUEST"].contains(&&*reason(&told)), "{told:?}");
        let told = call(&wire, "/leadline.control.v1.LeadService/Nothing".parse().unwrap(), Vec::new()).await;
        assert_eq!(reason(&told.unwrap_err()), "NO_METHOD");
    }
    daemon.stop().await;
}

/// Two companies with one of everything, and what each thing of the second is called.
pub(super) async fn two_companies(daemon: &Daemon, receiver: &Receiver) -> BTreeMap<&'static str, String> {
    let cli = Cli::new(daemon.socket());
    let operator = Operator::new(daemon.control().await);
    let mut names = BTreeMap::new();
    for company in [7, 8] {
        let key = operator.company(company).await;
        let name = format!("The Mill {company}");
        cli.json(&["company", "update", &company.to_string(), "--name", &name]).await;
        let integration = operator.webhook(company, "crm", &receiver.url("/"), json!({})).await;
        let integration = integration.integration.unwrap().id;
        let (status, posted) = post_lead(
            &daemon.url("/v1/leads"),
            &key,
            sample_lead(usize::try_from(company).unwrap()).to_string(),
        )
        .await;
        assert_eq!(status, 202, "{posted}");
        let delivery = posted["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned();
        wait_until("a delivery is dead", async || operator.badge(&integration).await == "failing").await;
        let attempt = operator.finished(&integration).await[0].id.clone();
        let list = async |noun: &str| {
            let listed = cli.json(&[noun, "list", "--company", &company.to_string()]).await;
            listed[0]["id"].as_str().unwrap_or_default().to_owned()
        };
        let (company_text, when) = (company.to_string(), "lead.guest_count > 1");
        let args = [
            "flow",
            "create",
            "--company",
            &company_text,
            "--name",
            "big",
            "--when",
            when,
            "--then",
            &integration,
        ];
        cli.json(&args).await;
        cli.json(&["form", "create", "--company", &company_text, "--name", "page"]).await;
        let (token, _) = token(daemon, Role::Viewer, &company_text, false).await;
        let job = job_of(&operator, &integration).await;
        names = BTreeMap::from([
            ("COMPANY", company_text.clone()),
            ("INTEGRATION", integration),
            ("DELIVERY", delivery),
            ("ATTEMPT", attempt),
            ("JOB", job),
            ("FLOW", list("flow").await),
            ("FORM", list("form").await),
            ("INTAKE_KEY", list("intake-key").await),
            ("TOKEN", token),
            ("lead", posted["lead"].as_str().unwrap().to_owned()),
        ]);
    }
    names
}

/// A job that pushes again what is dead at an integration.
pub(super) async fn job_of(operator: &Operator, integration: &str) -> String {
    let filter = v1::DeliveryFilter { integration: integration.to_owned(), ..Default::default() };
    let request =
        v1::RetryDeliveriesRequest { request_id: request_id(), filter: Some(filter), ..Default::default() };
    operator.deliveries().retry_deliveries(request).await.unwrap().into_inner().job_id
}

async fn anothers_lead_is_not_there(wire: &Wire, lead: &str) {
    for method in methods().iter().filter(|method| method.input().get_field_by_name("uuid").is_some()) {
        let mut request = DynamicMessage::new(method.input());
        request.set_field_by_name("uuid", Value::String(lead.to_owned()));
        if method.input().get_field_by_name("request_id").is_some() {
            request.set_field_by_name("request_id", Value::String(request_id()));
        }
        let told = call(wire, path(method), request.encode_to_vec()).await.unwrap_err();
        assert_eq!(told.code(), Code::NotFound, "{} of another's lead: {told:?}", method.name());
        assert_eq!(reason(&told), "UNKNOWN", "{}", method.name());
    }
}

/// The ways to each field of a request that names something, through messages in it.
pub(super) fn references(
    message: &MessageDescriptor,
    refers_to: &ExtensionDescriptor,
    above: &mut Vec<FieldDescriptor>,
) -> Vec<Vec<FieldDescriptor>> {
    let names = |field: &FieldDescriptor| {
        field.options().get_extension(refers_to).as_enum_number().unwrap_or_default() != 0
    };
    ways(message, &names, above)
}

/// The ways to each field of a request that is of a kind, through messages in it.
pub(super) fn ways(
    message: &MessageDescriptor,
    is_meant: &dyn Fn(&FieldDescriptor) -> bool,
    above: &mut Vec<FieldDescriptor>,
) -> Vec<Vec<FieldDescriptor>> {
    let mut found = Vec::new();
    for field in message.fields() {
        above.push(field.clone());
        match field.kind() {
            // One that holds itself ends nowhere.
            Kind::Message(inner) if above.iter().filter(|it| **it == field).count() == 1 => {
                found.extend(ways(&inner, is_meant, above));
            }
            Kind::Message(_) => {}
            _ if is_meant(&field) => found.push(above.clone()),
            _ => {}
        }
        above.pop();
    }
    found
}

/// Sets the field at the end of a way.
pub(super) fn set_below(message: &mut DynamicMessage, way: &[FieldDescriptor], value: Value) {
    match way {
        [field] => message.set_field(field, if field.is_list() { Value::List(vec![value]) } else { value }),
        [field, rest @ ..] => {
            let inner = message.get_field_mut(field).as_message_mut();
            set_below(
                inner.unwrap_or_else(|| panic!("{} is no single message", field.full_name())),
                rest,
                value,
            );
        }
        [] => {}
    }
}

#[tokio::test]
async fn a_companys_token_reaches_its_own_things_only() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(422, String::new())).await.unwrap();
    let names = two_companies(&daemon, &receiver).await;
    let (_, secret) = token(&daemon, Role::Admin, "7", false).await;
    let wire = wire(&daemon, &authority.file(), None, Some(&secret)).await;
    let (pool, mut tried, mut below) = (pool(), 0, 0);
    let refers_to = pool.get_extension_by_name("leadline.control.v1.refers_to").unwrap();
    let references_enum = pool.get_enum_by_name("leadline.control.v1.Reference").unwrap();
    let spans = pool.get_extension_by_name("leadline.control.v1.spans_companies").unwrap();
    for method in methods() {
        if method.options().get_extension(&spans).as_bool() == Some(true) {
            let told = call(&wire, path(&method), Vec::new()).await.unwrap_err();
            assert_eq!(told.code(), Code::PermissionDenied, "{}", method.name());
            let why = format!("{} is about all companies, and token admin 7 sees ", method.name());
            assert!(told.message().starts_with(&why), "{told:?}");
            assert_eq!(reason(&told), "SPANS_COMPANIES");
            continue;
        }
        for way in references(&method.input(), &refers_to, &mut Vec::new()) {
            let number = way.last().unwrap().options().get_extension(&refers_to).as_enum_number().unwrap();
            let kind = references_enum.get_value(number).unwrap().name().replace("REFERENCE_", "");
            let mut request = DynamicMessage::new(method.input());
            set_below(&mut request, &way, Value::String(names[&*kind].clone()));
            let named = [
                ("request_id", request_id()),
                ("uuid", names["lead"].clone()),
                ("cause", "0000000000000".into()),
            ];
            for (name, value) in named {
                if method.input().get_field_by_name(name).is_some() {
                    request.set_field_by_name(name, Value::String(value));
                }
            }
            let what = way.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".");
            let told = call(&wire, path(&method), request.encode_to_vec()).await;
            let told = told.expect_err(&format!("{} with a foreign {what}", method.name()));
            assert_eq!(told.code(), Code::NotFound, "{} with a foreign {what}: {told:?}", method.name());
            assert_eq!(reason(&told), "UNKNOWN", "{} with a foreign {what}", method.name());
            tried += 1;
            below += usize::from(way.len() > 1);
        }
    }
    assert!(below > 15, "{below} of them in filters and the like");
    assert!(tried > 55, "{tried}");
    anothers_lead_is_not_there(&wire, &names["lead"]).await;
    let mut answered = 0;
    for path in paths() {
        // What is asked for without a word more is answered without a word of the other company.
        let Ok(told) = call(&wire, path.clone(), Vec::new()).await else { continue };
        answered += usize::from(!told.is_empty());
        let told = String::from_utf8_lossy(&told);
        for name in names.values().filter(|name| name.len() > 1).map(|name| &**name).chain(["The Mill 8"]) {
            assert!(!told.contains(name), "{path} tells of {name}");
        }
    }
    assert!(answered > 15, "{answered}");
    let seen = v1::ListDeliveriesRequest::default();
    let seen = DeliveryServiceClient::new(wire.clone()).list_deliveries(seen).await.unwrap().into_inner();
    assert!(!seen.deliveries.is_empty() && seen.deliveries.iter().all(|it| it.company_id == 7), "{seen:?}");
    let seen = CompanyServiceClient::new(wire).list_companies(v1::ListCompaniesRequest::default()).await;
    let seen: Vec<_> = seen.unwrap().into_inner().companies.into_iter().map(|it| it.id).collect();
    assert_eq!(seen, [7]);
    daemon.stop().await;
    receiver.stop().await;
}
