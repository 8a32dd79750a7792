//! The control API as its `.proto` files say it, with their comments: what rules and pages of it are made from.

use std::{fs, path::Path};

/// A file of the API, in the shape that all of them have: one statement on a line, two spaces for each depth.
#[derive(Debug, Default)]
pub struct Proto {
    pub path: String,
    /// What the file says of itself.
    pub about: String,
    pub services: Vec<Service>,
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub rpcs: Vec<Rpc>,
}

#[derive(Debug)]
pub struct Rpc {
    pub name: String,
    pub request: String,
    pub response: String,
    pub is_streamed: bool,
    pub role: String,
    pub comment: String,
}

#[derive(Debug)]
pub struct Message {
    pub name: String,
    pub fields: Vec<Field>,
    pub comment: String,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// `repeated`, `optional` or nothing.
    pub label: String,
    pub kind: String,
    /// Whether it says what of a person may stand in it.
    pub is_personal: bool,
    pub comment: String,
}

#[derive(Debug)]
pub struct Enum {
    pub name: String,
    pub values: Vec<Value>,
    pub comment: String,
}

#[derive(Debug)]
pub struct Value {
    pub name: String,
    pub number: u32,
    pub comment: String,
}

/// All files of the API, by their names.
#[must_use]
pub fn protos() -> Vec<Proto> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files: Vec<_> = fs::read_dir(root.join("proto/leadline/control/v1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"))
        .collect();
    files.sort();
    let named = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| read(named(path), &fs::read_to_string(path).unwrap())).collect()
}

fn read(path: String, text: &str) -> Proto {
    let mut proto = Proto { path, ..Proto::default() };
    let mut comments: Vec<&str> = Vec::new();
    let mut block = "";
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        if word(0).starts_with("//") {
            comments.push(line.trim_start().trim_start_matches("//").trim_start());
            continue;
        }
        let comment = comments.join(" ");
        let name = word(1).to_owned();
        match word(0) {
            "syntax" => proto.about = comment,
            "service" => proto.services.push(Service { name, rpcs: Vec::new() }),
            "message" => proto.messages.push(Message { name, fields: Vec::new(), comment }),
            "enum" => proto.enums.push(Enum { name, values: Vec::new(), comment }),
            "rpc" => proto.services.last_mut().unwrap().rpcs.push(rpc(line, comment)),
            "option" if block == "service" && word(1) == "(role)" => {
                let rpc = proto.services.last_mut().unwrap().rpcs.last_mut().unwrap();
                rpc.role = word(3).trim_start_matches("ROLE_").trim_end_matches(';').to_lowercase();
            }
            _ if block == "message" && line.contains(" = ") => {
                proto.messages.last_mut().unwrap().fields.extend(field(line, comment));
            }
            _ if block == "enum" && line.contains(" = ") => {
                let number = word(2).trim_end_matches(';').parse().unwrap();
                let value = Value { name: word(0).to_owned(), number, comment };
                proto.enums.last_mut().unwrap().values.push(value);
            }
            _ => {}
        }
        if ["service", "message", "enum", "extend"].contains(&word(0)) {
            block = word(0);
        }
        comments.clear();
    }
    proto
}

/// `rpc GetA(GetARequest) returns (stream GetAResponse) {`
fn rpc(line: &str, comment: String) -> Rpc {
    let is_streamed = line.contains("returns (stream ");
    let mut parts =
        line.split(['(', ')', ' ']).filter(|part| !["", "rpc", "stream", "returns"].contains(part));
    let mut next = || parts.next().unwrap().to_owned();
    let (name, request, response) = (next(), next(), next());
    Rpc { name, request, response, is_streamed, role: String::new(), comment }
}

/// `repeated string ids = 1 [(x) = Y];`
fn field(line: &str, comment: String) -> Option<Field> {
    let left: Vec<&str> = line.split(" = ").next().unwrap().split_whitespace().collect();
    let [label @ .., kind, name] = &left[..] else { return None };
    let is_personal = line.contains("[(personal) = ");
    Some(Field {
        name: (*name).to_owned(),
        label: label.join(" "),
        kind: (*kind).to_owned(),
        is_personal,
        comment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proto_files_are_read_right() {
        let text = "// About\n// it.\nsyntax = \"proto3\";\nservice AService {\n  // Says.\n  \
                    rpc GetA(GetARequest) returns (stream GetAResponse) {\n    option (role) = ROLE_VIEWER;\n  }\n}\n\n\
                    // Asks.\nmessage GetARequest {\n  // One.\n  repeated string ids = 1 [(personal) = Y];\n}\n\n\
                    enum AState {\n  // None.\n  A_STATE_UNSPECIFIED = 0;\n}\n";
        let proto = read("a.proto".to_owned(), text);
        assert_eq!(proto.about, "About it.");
        let rpc = &proto.services[0].rpcs[0];
        assert_eq!((&*rpc.name, &*rpc.request, &*rpc.response), ("GetA", "GetARequest", "GetAResponse"));
        assert_eq!((rpc.is_streamed, &*rpc.role, &*rpc.comment), (true, "viewer", "Says."));
        let message = &proto.messages[0];
        assert_eq!((&*message.name, &*message.comment), ("GetARequest", "Asks."));
        let field = &message.fields[0];
        assert_eq!(
            (&*field.name, &*field.label, &*field.kind, &*field.comment),
            ("ids", "repeated", "string", "One.")
        );
        assert!(field.is_personal);
        let value = &proto.enums[0].values[0];
        assert_eq!((&*value.name, value.number, &*value.comment), ("A_STATE_UNSPECIFIED", 0, "None."));
    }
}
