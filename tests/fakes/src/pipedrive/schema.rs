//! What an account says of itself: pipelines, stages, and the fields of persons and deals.

use serde_json::{Value, json};

use super::Pipedrive;

const PERSON: [(&str, &str); 4] =
    [("name", "varchar"), ("emails", "varchar"), ("phones", "phone"), ("label_ids", "set")];
const DEAL: [(&str, &str); 5] = [
    ("title", "varchar"),
    ("value", "monetary"),
    ("currency", "varchar"),
    ("expected_close_date", "date"),
    ("stage_id", "stage"),
];

impl Pipedrive {
    pub(super) fn described(&self, what: &str) -> Value {
        match what {
            "pipelines" => json!([{ "id": 1, "name": "Weddings" }, { "id": 2, "name": "Corporate" }]),
            "stages" => json!([
                { "id": 5, "name": "New", "pipeline_id": 1 }, { "id": 6, "name": "Viewing", "pipeline_id": 1 },
                { "id": 8, "name": "New", "pipeline_id": 2 },
            ]),
            "personFields" => self.fields(&PERSON),
            _ => self.fields(&DEAL),
        }
    }

    fn fields(&self, own: &[(&str, &str)]) -> Value {
        let custom = self.custom.iter().map(|(key, kind)| (key.as_str(), *kind));
        let options = json!([{ "id": 1, "label": "Wedding" }, { "id": 2, "label": "Other" }]);
        let field = |(code, kind): (&str, &str)| {
            let name = self.labels.get(code).copied().unwrap_or(code);
            json!({ "field_code": code, "field_type": kind, "field_name": name,
                    "is_custom_field": code.len() == 40, "options": (kind == "enum").then_some(&options) })
        };
        own.iter().copied().chain(custom).map(field).collect()
    }
}
