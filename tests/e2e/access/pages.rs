//! Every list of the control API, page by page.

use leadline_fakes::{Behaviour, Receiver};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::{Request, client::Grpc, transport::Channel};

use super::{
    Authority, daemon,
    walk::{methods, path, two_companies},
};
use crate::invalid_input::Raw;

/// A page: what it has, and the token of the next one.
async fn page(channel: &Channel, method: &MethodDescriptor, more: &[(&str, Value)]) -> (Vec<String>, String) {
    let mut request = DynamicMessage::new(method.input());
    for (name, value) in more {
        if method.input().get_field_by_name(name).is_some() {
            request.set_field_by_name(name, value.clone());
        }
    }
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let answer = grpc.unary(Request::new(request.encode_to_vec()), path(method), Raw).await.unwrap();
    let answer = DynamicMessage::decode(method.output(), &*answer.into_inner()).unwrap();
    let list = method.output().fields().find(|field| field.is_list()).unwrap();
    let items = answer.get_field(&list).into_owned();
    let items = items.as_list().unwrap().iter().map(|item| name(item.as_message().unwrap())).collect();
    let token = answer.get_field_by_name("next_page_token").unwrap().as_str().unwrap().to_owned();
    (items, token)
}

/// What tells a thing from others of its list.
fn name(item: &DynamicMessage) -> String {
    let of = |item: &DynamicMessage, field: &str| {
        item.get_field_by_name(field).map(|value| match &*value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let inner = item.fields().find_map(|(field, value)| {
        let is_what = ["attempt", "act"].contains(&field.name());
        is_what.then(|| of(value.as_message()?, "id")).flatten()
    });
    let own = ["id", "uuid", "cause", "name"].into_iter().find_map(|field| of(item, field));
    own.or(inner).unwrap_or_else(|| panic!("{} has no name", item.descriptor().full_name()))
}

#[tokio::test]
async fn every_list_goes_on_behind_its_token() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(422, String::new())).await.unwrap();
    let names = two_companies(&daemon, &receiver).await;
    let channel = daemon.control().await;
    let (mut findings, mut long) = (Vec::new(), 0);
    for method in methods().iter().filter(|method| method.name().starts_with("List")) {
        let of = |name: &str| Value::String(names[name].clone());
        let about = [("key", of("INTAKE_KEY")), ("form", of("FORM"))];
        let (whole, end) = page(&channel, method, &about).await;
        assert_eq!(end, "", "{} has more than fifty", method.name());
        long += usize::from(whole.len() > 1);
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let [key, form] = about.clone();
            let asked = [key, form, ("page_size", Value::U32(1)), ("page_token", Value::String(token))];
            let (some, next) = page(&channel, method, &asked).await;
            seen.extend(some);
            token = next;
            if token.is_empty() || seen.len() > whole.len() {
                break;
            }
        }
        if seen != whole {
            findings.push(format!("{}: {seen:?}, not {whole:?}", method.name()));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(long > 10, "only {long} lists have anything to go on with");
    daemon.stop().await;
    receiver.stop().await;
}
