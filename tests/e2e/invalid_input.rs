//! Wrong values in every field of every call: a refusal that says what to do, never a failure, and nothing changed.

use leadline_fakes::{Behaviour, sample_lead};
use leadline_proto::v1::{self, form_service_client::FormServiceClient};
use leadline_tests::{request_id, wait_until};
use leadlined::domain::cause::CauseId;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::json;
use sqlx::PgPool;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};

mod compared;
mod raw;

use compared::changed;
pub(crate) use raw::Raw;

/// A request has one of these two.
const EITHER: [[&str; 2]; 5] = [
    ["ids", "filter"],
    ["lead", "unsynced"],
    ["integration", "delivery"],
    ["attempt", "delivery"],
    ["flow", "company"],
];

/// Calls after which the others would find nothing any more.
const LAST: [&str; 2] = ["Delete", "Erase"];

/// A value of a field as it is on the wire.
#[derive(Clone)]
enum Wire {
    Text(Vec<u8>),
    Number(u64),
    Double(f64),
}

/// A method, and the shape of what it takes.
struct Method {
    path: String,
    request: DescriptorProto,
}

impl Method {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    fn is_last(&self) -> bool {
        LAST.iter().any(|word| self.name().starts_with(word))
    }
}

/// The whole API, as reflection tells it.
struct Api {
    files: FileDescriptorSet,
}

impl Api {
    fn read() -> Self {
        Self { files: FileDescriptorSet::decode(leadline_proto::DESCRIPTORS).unwrap() }
    }

    fn message(&self, name: &str) -> &DescriptorProto {
        let name = name.rsplit('.').next().unwrap();
        let mut messages = self.files.file.iter().flat_map(|file| &file.message_type);
        messages.find(|message| message.name() == name).unwrap()
    }

    /// Every method of a part of the services, those that take things away last.
    fn methods(&self, part: usize) -> Vec<Method> {
        let services =
            self.files.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
        let mut methods = Vec::new();
        for (file, service) in services.skip(part).step_by(PARTS) {
            methods.extend(service.method.iter().map(|method| Method {
                path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                request: self.message(method.input_type()).clone(),
            }));
        }
        methods.sort_by_key(Method::is_last);
        methods
    }

    /// Every field of a message and of the messages in it, as the names that lead to it.
    fn fields(&self, message: &DescriptorProto) -> Vec<(Vec<String>, FieldDescriptorProto)> {
        let mut fields = Vec::new();
        for field in &message.field {
            let name = field.name().to_owned();
            if field.r#type() == Type::Message {
                for (path, inner) in self.fields(self.message(field.type_name())) {
                    fields.push(([vec![name.clone()], path].concat(), inner));
                }
            }
            fields.push((vec![name], field.clone()));
        }
        fields
    }
}

/// A daemon with something of everything.
struct Scene {
    set: leadline_tests::Scene,
    channel: Channel,
    api: Api,
    /// The id of the intake key.
    key_id: String,
    elsewhere: String,
    flow: String,
    form: String,
    lead: String,
    delivery: String,
    attempt: String,
    job: String,
    /// What the delivery died of.
    cause: String,
    /// The lead's.
    email: String,
    /// The id of a request that was carried out.
    taken: String,
}

leadline_tests::stands_on_scene!(Scene, set);

/// A form of company 7.
async fn form(channel: &Channel) -> String {
    let request = v1::CreateFormRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "form".into(),
        ..Default::default()
    };
    FormServiceClient::new(channel.clone()).create_form(request).await.unwrap().into_inner().form.unwrap().id
}

/// The cause of what is dead, once it is named.
async fn cause(pool: &PgPool) -> String {
    let cause = "SELECT cause_id FROM undelivered WHERE cause_id IS NOT NULL";
    wait_until("its cause is named", async || {
        sqlx::query(cause).fetch_optional(pool).await.unwrap().is_some()
    })
    .await;
    CauseId(sqlx::query_scalar(cause).fetch_one(pool).await.unwrap()).to_string()
}

impl Scene {
    async fn start() -> Self {
        let refusing = Behaviour::RefuseAll(422, String::new());
        let set = leadline_tests::Scene::set().behaviour(refusing).webhook("hook", "/").start().await;
        let (operator, integration) = (&set.operator, &set.integration);
        let channel = set.daemon.control().await;
        operator.company(8).await;
        let elsewhere = operator.webhook(8, "elsewhere", &set.receiver.url("/"), json!({})).await;
        let elsewhere = elsewhere.integration.unwrap().id;
        let request = v1::CreateFlowRequest {
            request_id: request_id(),
            company: "7".into(),
            name: "flow".into(),
            when: "true".into(),
            then: vec![integration.clone()],
            ..Default::default()
        };
        let flow = operator.flows().create_flow(request).await.unwrap().into_inner().flow.unwrap().id;
        let form = form(&channel).await;
        let posted = set.post_lead(&sample_lead(1)).await;
        let delivery = posted["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned();
        set.wait_for_badge("failing").await;
        let retry = v1::RetryDeliveriesRequest {
            request_id: request_id(),
            filter: Some(v1::DeliveryFilter { integration: integration.clone(), ..Default::default() }),
            ..Default::default()
        };
        let job = operator.deliveries().retry_deliveries(retry).await.unwrap().into_inner().job_id;
        wait_until("it is dead again", async || operator.finished(integration).await.len() == 2).await;
        let attempt = operator.finished(integration).await[0].id.clone();
        // From here on nothing is pushed: only what is asked for changes.
        let cause = cause(&set.pool).await;
        let taken = request_id();
        let pause = v1::UpdateCompanyRequest {
            request_id: taken.clone(),
            company: "7".into(),
            paused: Some(true),
            ..Default::default()
        };
        operator.companies().update_company(pause).await.unwrap();
        let request = v1::ListIntakeKeysRequest { company: "7".into(), ..Default::default() };
        let keys = operator.keys().list_intake_keys(request).await.unwrap().into_inner().keys;
        let lead = posted["lead"].as_str().unwrap().to_owned();
        Self {
            set,
            channel,
            api: Api::read(),
            key_id: keys[0].id.clone(),
            elsewhere,
            flow,
            form,
            lead,
            delivery,
            attempt,
            job,
            cause,
            email: sample_lead(1)["lead"]["email"].as_str().unwrap().to_owned(),
            taken,
        }
    }

    /// What a field has that is as it should be; none for what may be left out.
    fn good(&self, method: &str, field: &str) -> Option<Vec<u8>> {
        let config = json!({ "url": self.receiver.url("/") }).to_string();
        let line = sample_lead(2).to_string();
        let text = match (field, method) {
            ("request_id" | "name", _) => &request_id(),
            ("company", _) => "7",
            ("integration", _) | ("then", _) => &self.integration,
            ("flow", _) => &self.flow,
            ("form", _) => &self.form,
            ("lead" | "uuid", _) => &self.lead,
            ("delivery" | "ids", _) | ("id", "GetDelivery" | "ExplainDelivery") => &self.delivery,
            ("attempt", _) | ("id", "GetAttempt") => &self.attempt,
            ("id", "GetJob" | "WatchJob" | "CancelJob" | "ResumeJob") => &self.job,
            ("key", _) | ("id", "RevokeIntakeKey") => &self.key_id,
            ("connector", _) => "webhook",
            ("config", _) => &config,
            ("when", _) => "true",
            ("cause", _) => &self.cause,
            ("text", _) => "guest",
            ("email", _) => &self.email,
            ("json", _) => &line,
            _ => return None,
        };
        Some(text.as_bytes().to_vec())
    }

    /// A request that is right but for the field at the path.
    fn request(&self, method: &Method, path: &[String], wrong: &[Wire]) -> Vec<u8> {
        self.encode(method.name(), &method.request, path, wrong)
    }

    fn encode(&self, method: &str, message: &DescriptorProto, path: &[String], wrong: &[Wire]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let has = |name: &str| message.field.iter().any(|field| field.name() == name);
        let asked = path.first().map_or("", |name| name);
        for field in &message.field {
            let (name, number) = (field.name(), field.number().unsigned_abs());
            let is_left_out = EITHER.iter().any(|[one, other]| {
                has(one) && has(other) && (name == *other && asked != name || name == *one && asked == *other)
            });
            if asked == name && path.len() == 1 {
                wrong.iter().for_each(|value| put(&mut bytes, number, value));
            } else if is_left_out {
            } else if field.r#type() == Type::Message && (asked == name || name == "start") {
                let inner = if asked == name { &path[1..] } else { &[] };
                let inner = self.encode(method, self.api.message(field.type_name()), inner, wrong);
                put(&mut bytes, number, &Wire::Text(inner));
            } else if name == "plan" {
                put(&mut bytes, number, &Wire::Number(3));
            } else if field.r#type() == Type::String || field.r#type() == Type::Bytes {
                let good = self.good(method, name);
                good.into_iter().for_each(|text| put(&mut bytes, number, &Wire::Text(text)));
            }
        }
        bytes
    }

    /// Makes a call and reads the first answer.
    async fn call(&self, method: &Method, request: Vec<u8>) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = method.path.parse().unwrap();
        let mut answer = grpc.server_streaming(Request::new(request), path, Raw).await?;
        answer.get_mut().message().await.map(drop)
    }

    /// What is there once everything asked for is through, but for what waits for a lane that a call has closed.
    async fn contents(&self) -> String {
        wait_until("nothing is under way", async || {
            let idle = "SELECT NOT EXISTS (SELECT FROM probe) AND NOT EXISTS (SELECT FROM claim)
                        AND NOT EXISTS (SELECT FROM job j JOIN company c ON c.id = j.company_id
                            JOIN integration i ON i.company_id = j.company_id AND i.id = j.integration_id
                            WHERE j.state = 'running' AND lane_is_open(i, c))
                        AND NOT EXISTS (SELECT FROM integration WHERE deleted_at IS NOT NULL)";
            sqlx::query_scalar(idle).fetch_one(&self.pool).await.unwrap()
        })
        .await;
        let contents = self.daemon.database().contents().await;
        // Notices come by themselves.
        contents
            .lines()
            .filter(|table| !table.starts_with("notice:"))
            .fold(String::new(), |kept, table| kept + table + "\n")
    }

    async fn end(self) {
        self.set.end().await;
    }

    /// What nobody should send in a field of this type, each told by a word.
    fn wrong(&self, kind: Type) -> Vec<(&'static str, Wire)> {
        let text = |text: &str| Wire::Text(text.as_bytes().to_vec());
        match kind {
            Type::String | Type::Bytes => vec![
                ("empty", text("")),
                ("taken", text(&self.taken)),
                ("unknown", text("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
                ("another company's", text(&self.elsewhere)),
                ("NUL", text("a\0b")),
                ("control", text("a\r\nb: c")),
                ("emoji", text("👰 é {{ lead.name }}")),
                ("huge", text(&"x".repeat(300_000))),
                ("a list", text("[1]")),
                ("deep JSON", text(&"{\"a\":".repeat(20_000))),
                ("NUL in JSON", text("{\"url\": \"a\\u0000\"}")),
                ("strange JSON", text("{\"é\": {\"👰\": [null, 1e999]}}")),
                ("deep parentheses", text(&"(".repeat(50_000))),
            ],
            Type::Double => [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e308]
                .map(|number| ("a number", Wire::Double(number)))
                .to_vec(),
            Type::Message => vec![("nothing", text(""))],
            Type::Bool => vec![("yes", Wire::Number(1))],
            _ => [0, 1, u64::MAX, 1 << 31, u64::from(u32::MAX), u64::MAX >> 1]
                .map(|number| ("a number", Wire::Number(number)))
                .to_vec(),
        }
    }
}

fn put(bytes: &mut Vec<u8>, number: u32, value: &Wire) {
    match value {
        Wire::Text(text) => {
            encode_key(number, WireType::LengthDelimited, bytes);
            encode_varint(text.len() as u64, bytes);
            bytes.extend(text);
        }
        Wire::Number(value) => {
            encode_key(number, WireType::Varint, bytes);
            encode_varint(*value, bytes);
        }
        Wire::Double(value) => {
            encode_key(number, WireType::SixtyFourBit, bytes);
            bytes.extend(value.to_le_bytes());
        }
    }
}

/// What is wrong with an answer; none if it is one that helps.
fn complaint(answer: Result<(), Status>) -> Option<String> {
    const REFUSALS: [Code; 4] =
        [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition, Code::AlreadyExists];
    let status = answer.err()?;
    let line = status.message();
    let is_clear = line.len() > 10 && line.len() < 2100 && !line.contains(char::is_control);
    (!REFUSALS.contains(&status.code()) || !is_clear).then(|| format!("{:?}: {line:.300}", status.code()))
}

/// Calls each method of a part of the API with wrong values in each of its fields.
async fn try_wrong_values(part: usize) {
    let scene = Scene::start().await;
    let (mut findings, mut closed) = (Vec::new(), Vec::new());
    let mut before = scene.contents().await;
    for method in &scene.api.methods(part) {
        let mut accepted = 0;
        for (path, field) in scene.api.fields(&method.request) {
            let mut applied = 0;
            let place = format!("{} {}", method.name(), path.join("."));
            for (what, value) in scene.wrong(field.r#type()) {
                let many = what == "unknown" && field.label() == Label::Repeated;
                let values = vec![value; if many { 10_001 } else { 1 }];
                let answer = scene.call(method, scene.request(method, &path, &values)).await;
                applied += usize::from(answer.is_ok());
                if field.name() == "request_id" && what == "taken" {
                    let reported = answer.as_ref().expect_err(&place).message();
                    let taken = &scene.taken;
                    let expected =
                        format!("request id {taken} was used for another request: make a new one for each");
                    assert_eq!(reported, expected, "{place}");
                }
                findings.extend(complaint(answer).map(|reported| format!("{place}, {what}: {reported}")));
            }
            let after = scene.contents().await;
            if applied == 0 && after != before {
                findings.push(format!("{place}: it has changed {:?}", changed(&before, &after)));
            }
            before = after;
            accepted += applied;
        }
        // Something is carried out, or what was refused above says nothing.
        let answer = scene.call(method, scene.request(method, &[], &[])).await;
        if let Some(refused) = answer.err().filter(|_| accepted == 0) {
            closed.push(format!("{}: {}", method.name(), refused.message()));
        }
        before = scene.contents().await;
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    // A webhook has no fields to compare with and no login.
    // No job of the scene is cancelled, and nobody has a token.
    const NOT_HERE: [&str; 4] = ["CheckIntegration", "SetCredentials", "ResumeJob", "RevokeToken"];
    closed.retain(|told| !NOT_HERE.iter().any(|method| told.starts_with(&format!("{method}: "))));
    assert!(closed.is_empty(), "nothing is carried out of {closed:?}");
    scene.end().await;
}

/// So many tests share the services, each with a scene of its own: one alone would take longer than all others.
const PARTS: usize = 3;

#[tokio::test]
async fn wrong_values_in_any_field_are_refused_and_change_nothing() {
    try_wrong_values(0).await;
}

#[tokio::test]
async fn wrong_values_in_any_field_of_other_services_are_refused_and_change_nothing() {
    try_wrong_values(1).await;
}

#[tokio::test]
async fn wrong_values_in_any_field_of_the_remaining_services_are_refused_and_change_nothing() {
    try_wrong_values(2).await;
}
