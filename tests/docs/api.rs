//! The page of the control API is made from its `.proto` files.

use leadline_tests::proto::{Enum, Field, Message, Proto, Rpc, protos};

use super::page_is;

const HEAD: &str = "# The control API, call by call\n\n\
    Made from the `.proto` files and held equal to them by a test. [The API](../api.md) says how to reach it, with examples; \
    the daemon serves the same by reflection.\n";

/// In a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn calls(rpcs: &[Rpc]) -> String {
    let mut table = String::from("| Call | From role | What it does |\n|---|---|---|\n");
    for rpc in rpcs {
        let stream = if rpc.is_streamed { "Answers as a stream. " } else { "" };
        table.push_str(&format!("| `{}` | {} | {stream}{} |\n", rpc.name, rpc.role, cell(&rpc.comment)));
    }
    table
}

fn fields(fields: &[Field]) -> String {
    let mut table = String::from("| Field | Type | Means |\n|---|---|---|\n");
    for Field { name, label, kind, comment, .. } in fields {
        let kind = kind.strip_prefix("google.protobuf.").unwrap_or(kind);
        table.push_str(&format!("| `{name}` | {} | {} |\n", format!("{label} {kind}").trim(), cell(comment)));
    }
    table
}

fn message(message: &Message) -> String {
    let Message { name, fields: of, comment } = message;
    let about = if comment.is_empty() { String::new() } else { format!("{comment}\n\n") };
    let fields = if of.is_empty() { "Nothing.\n".to_owned() } else { fields(of) };
    format!("\n### {name}\n\n{about}{fields}")
}

fn words(one: &Enum) -> String {
    let about = if one.comment.is_empty() { String::new() } else { format!("{}\n\n", one.comment) };
    let mut text = format!("\n### {}\n\n{about}| Word | Means |\n|---|---|\n", one.name);
    for value in one.values.iter().filter(|value| value.number > 0) {
        text.push_str(&format!("| `{}` | {} |\n", value.name, cell(&value.comment)));
    }
    text
}

fn section(proto: &Proto) -> String {
    let file = proto.path.rsplit('/').next().unwrap();
    let services: Vec<_> = proto.services.iter().map(|service| &*service.name).collect();
    let title = if services.is_empty() { file.to_owned() } else { services.join(", ") };
    let mut text = format!("\n## {title}\n\n{}\n", proto.about);
    for service in &proto.services {
        text.push_str(&format!("\n{}", calls(&service.rpcs)));
    }
    text.extend(proto.messages.iter().map(message));
    text.extend(proto.enums.iter().map(words));
    text
}

#[test]
fn the_page_of_the_control_api_is_made_from_its_files() {
    let sections: String = protos().iter().map(section).collect();
    page_is("docs/reference/control-api.md", &format!("{HEAD}{sections}"));
}
