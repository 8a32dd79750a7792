//! Google Sheets: one spreadsheet whose sheets keep cells, and the login of the service account that it is shared with.

mod account;
mod range;

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor, pairs},
};
use range::{Range, letters};

/// A private key that nothing is protected by.
pub const KEY: &str = include_str!("key.pem");
const CELL_MAX: usize = 50_000;
const MINUTE: Duration = Duration::from_secs(60);

/// What the service account may do with the spreadsheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Editor,
    Viewer,
    None,
}

/// A sheet: its grid, and the cells that are filled.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    pub title: String,
    pub id: u32,
    /// From the first row on; what is missing is blank.
    pub rows: Vec<Vec<Value>>,
    pub grid: (usize, usize),
    /// Nobody but its owner may write to it.
    pub is_protected: bool,
}

/// A spreadsheet.
#[derive(Debug)]
pub struct GoogleSheets {
    pub client_email: String,
    pub spreadsheet: String,
    pub sheets: Vec<Sheet>,
    pub share: Share,
    /// The project lacks the Google Sheets API.
    pub is_disabled: bool,
    pub reads: Quota,
    pub writes: Quota,
    pub tokens: BTreeSet<String>,
    pub logins: usize,
}

impl Default for GoogleSheets {
    fn default() -> Self {
        let leads = Sheet { title: "Leads".into(), id: 0, grid: (1000, 26), ..Sheet::default() };
        Self {
            client_email: "leadline@old-barn.iam.gserviceaccount.com".into(),
            spreadsheet: "1FakeSpreadsheet_0123456789-of-the-leads".into(),
            sheets: vec![leads],
            share: Share::Editor,
            is_disabled: false,
            reads: Quota::new(60, MINUTE),
            writes: Quota::new(60, MINUTE),
            tokens: BTreeSet::new(),
            logins: 0,
        }
    }
}

impl GoogleSheets {
    /// The key file of the service account, as Google gives it.
    #[must_use]
    pub fn key_file(&self) -> Value {
        json!({"type": "service_account", "project_id": "old-barn", "private_key_id": "0123abcd", "private_key": KEY,
            "client_email": self.client_email, "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/leadline",
            "universe_domain": "googleapis.com"})
    }

    /// The first sheet.
    pub fn sheet(&mut self) -> &mut Sheet {
        &mut self.sheets[0]
    }

    fn log_in(&mut self, form: &str) -> Reply {
        let form = pairs(form);
        let refused = |code: &str, why: &str| answer(400, &json!({"error": code, "error_description": why}));
        if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return refused("unsupported_grant_type", "Invalid grant_type");
        }
        let assertion = form.get("assertion").map_or("", String::as_str);
        let parts: Vec<&str> = assertion.split('.').collect();
        let claims = parts.get(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let (from, until) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
        if parts.len() != 3 || claims["aud"] != "https://oauth2.googleapis.com/token" {
            return refused("invalid_grant", "Invalid JWT");
        }
        if claims["iss"] != json!(self.client_email) {
            return refused("invalid_grant", "Invalid grant: account not found");
        }
        if !(1..=3600).contains(&(until - from)) {
            return refused("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)");
        }
        if claims["scope"] != "https://www.googleapis.com/auth/spreadsheets" {
            return refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
        self.logins += 1;
        let token = format!("ya29.fake-{}", self.logins);
        self.tokens.insert(token.clone());
        answer(200, &json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
    }

    /// Why the call is refused before anything is looked at.
    fn gate(&mut self, request: &Request, id: &str) -> Option<Reply> {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.contains(token)) {
            return Some(refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."));
        }
        if self.is_disabled {
            let message = "Google Sheets API has not been used in project 1 before or it is disabled. Enable it, then retry.";
            return Some(with_reason(403, "PERMISSION_DENIED", message, "SERVICE_DISABLED"));
        }
        let is_read = request.method == "GET";
        let quota = if is_read { &mut self.reads } else { &mut self.writes };
        if !quota.admit(request.at) {
            let kind = if is_read { "Read" } else { "Write" };
            let message = format!(
                "Quota exceeded for quota metric '{kind} requests' and limit '{kind} requests per minute per user'"
            );
            return Some(with_reason(429, "RESOURCE_EXHAUSTED", &message, "RATE_LIMIT_EXCEEDED"));
        }
        if id != self.spreadsheet {
            return Some(refusal(404, "NOT_FOUND", "Requested entity was not found."));
        }
        let may = self.share == Share::Editor || self.share == Share::Viewer && is_read;
        (!may).then(|| refusal(403, "PERMISSION_DENIED", "The caller does not have permission"))
    }

    fn route(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        let (method, path) = route.parts();
        let values = path.get(4).copied().unwrap_or_default();
        match (method, &path[..]) {
            ("GET", ["v4", "spreadsheets", _]) => self.overview(request),
            ("GET", ["v4", "spreadsheets", _, "values", range]) => self.read(range, &route),
            ("PUT", ["v4", "spreadsheets", _, "values", range]) => self.update(range, &route),
            // The verb's colon stands as it is: an encoded one would be part of the range.
            ("POST", ["v4", "spreadsheets", _, "values", _]) if request.path.contains(":append") => {
                self.append(values.trim_end_matches(":append"), &route)
            }
            _ => refusal(404, "NOT_FOUND", "Requested entity was not found."),
        }
    }

    /// The sheet and the cells of a range; those outside of the grid are refused.
    fn find(&mut self, text: &str) -> Result<(&mut Sheet, Range), Reply> {
        let unknown = || refusal(400, "INVALID_ARGUMENT", &format!("Unable to parse range: {text}"));
        let (title, range) = Range::parse(text).ok_or_else(unknown)?;
        let sheet = self.sheets.iter_mut().find(|sheet| sheet.title == title).ok_or_else(unknown)?;
        let range = range.within(sheet.grid);
        if range.last.0 >= sheet.grid.0 || range.last.1 >= sheet.grid.1 {
            let (rows, columns) = sheet.grid;
            let message =
                format!("Range ({text}) exceeds grid limits. Max rows: {rows}, max columns: {columns}");
            return Err(refusal(400, "INVALID_ARGUMENT", &message));
        }
        Ok((sheet, range))
    }

    fn overview(&mut self, request: &Request) -> Reply {
        let query = request.path.split_once('?').map_or("", |(_, query)| query);
        let ranges = query.split('&').filter(|pair| pair.starts_with("ranges="));
        let (mut reported, mut asked): (Vec<Value>, Option<String>) = (Vec::new(), None);
        for pair in ranges {
            let text = pairs(pair).remove("ranges").unwrap_or_default();
            let (sheet, range) = match self.find(&text) {
                Ok(found) => found,
                Err(refused) => return refused,
            };
            asked = Some(sheet.title.clone());
            let row = |at: usize| -> Value {
                let cells: Vec<Value> =
                    (range.first.1..=range.last.1).map(|column| sheet.shown(at, column)).collect();
                json!({"values": cells})
            };
            let end = range.last.0.min(sheet.rows.len().saturating_sub(1));
            let rows: Vec<Value> = if sheet.rows.len() > range.first.0 {
                (range.first.0..=end).map(row).collect()
            } else {
                Vec::new()
            };
            reported.push(if rows.is_empty() { json!({}) } else { json!({"rowData": rows}) });
        }
        let shown = |sheet: &Sheet| {
            let grid = json!({"rowCount": sheet.grid.0, "columnCount": sheet.grid.1});
            let mut shown =
                json!({"properties": {"sheetId": sheet.id, "title": sheet.title, "gridProperties": grid}});
            if asked.is_some() {
                shown["data"] = json!(reported);
            }
            shown
        };
        let sheets =
            self.sheets.iter().filter(|sheet| asked.as_ref().is_none_or(|title| *title == sheet.title));
        answer(
            200,
            &json!({"properties": {"title": "Wedding leads"}, "sheets": sheets.map(shown).collect::<Vec<_>>()}),
        )
    }

    fn read(&mut self, text: &str, route: &Route) -> Reply {
        let (sheet, range) = match self.find(text) {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        let (rows, columns) = (range.first.0..=range.last.0, range.first.1..=range.last.1);
        let cell = |row, column| sheet.shown(row, column)["formattedValue"].take();
        let is_by_column = route.asked("majorDimension") == "COLUMNS";
        let lines: Vec<Vec<Value>> = if is_by_column {
            columns.map(|column| rows.clone().map(|row| cell(row, column)).collect()).collect()
        } else {
            rows.map(|row| columns.clone().map(|column| cell(row, column)).collect()).collect()
        };
        let mut lines: Vec<Vec<Value>> = lines.into_iter().map(without_blanks_behind).collect();
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        // Only what was asked for is told.
        let mut reported = match route.asked("fields") {
            "values" => json!({}),
            _ => json!({"range": text, "majorDimension": if is_by_column { "COLUMNS" } else { "ROWS" }}),
        };
        if !lines.is_empty() {
            reported["values"] = json!(lines);
        }
        answer(200, &reported)
    }

    fn update(&mut self, text: &str, route: &Route) -> Reply {
        let line = match line(route) {
            Ok(line) => line,
            Err(refused) => return refused,
        };
        let (sheet, range) = match self.find(text) {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        if sheet.is_protected {
            let message = "You are trying to edit a protected cell or object. Please contact the spreadsheet owner to remove protection if you need to edit.";
            return refusal(400, "INVALID_ARGUMENT", message);
        }
        if range.first.1 + line.len() > range.last.1 + 1 {
            let message = format!(
                "Requested writing within range [{text}], but tried writing to column [{}]",
                letters(range.last.1 + 1)
            );
            return refusal(400, "INVALID_ARGUMENT", &message);
        }
        let columns = range.first.1..range.first.1 + line.len();
        sheet.write(range.first, line);
        let shown = columns.map(|column| sheet.shown(range.first.0, column)["formattedValue"].take());
        let values = without_blanks_behind(shown.collect());
        let mut told = json!({"spreadsheetId": self.spreadsheet, "updatedRange": text});
        if route.asked("includeValuesInResponse") == "true" {
            told["updatedData"] = json!({"range": text, "majorDimension": "ROWS"});
            if !values.is_empty() {
                told["updatedData"]["values"] = json!([values]);
            }
        }
        answer(200, &told)
    }

    fn append(&mut self, text: &str, route: &Route) -> Reply {
        let line = match line(route) {
            Ok(line) => line,
            Err(refused) => return refused,
        };
        let spreadsheet = self.spreadsheet.clone();
        let (sheet, range) = match self.find(text) {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        // The table that begins here ends before the first blank row.
        let is_blank = |row: &Vec<Value>| row.iter().all(Value::is_null);
        let end = (range.first.0..sheet.rows.len())
            .find(|row| is_blank(&sheet.rows[*row]))
            .unwrap_or(sheet.rows.len());
        if route.asked("insertDataOption") == "INSERT_ROWS" && end < sheet.rows.len() {
            sheet.rows.insert(end, Vec::new());
        }
        sheet.grid.0 = sheet.grid.0.max(end + 1);
        let column =
            sheet.rows.first().and_then(|row| row.iter().position(|cell| !cell.is_null())).unwrap_or(0);
        let last = letters((column + line.len()).saturating_sub(1));
        sheet.write((end, column), line);
        let written = format!("'{}'!{}{}:{last}{}", sheet.title, letters(column), end + 1, end + 1);
        answer(
            200,
            &json!({"spreadsheetId": spreadsheet, "updates": {"updatedRange": written, "updatedRows": 1}}),
        )
    }
}

impl Sheet {
    /// A sheet of this name with a header.
    #[must_use]
    pub fn with_header(title: &str, header: &[&str]) -> Self {
        let header =
            header.iter().map(|name| if name.is_empty() { Value::Null } else { json!(name) }).collect();
        Self { title: title.into(), id: 7, rows: vec![header], grid: (1000, 26), is_protected: false }
    }

    /// What stands in a row's cell of the column that the header calls so.
    #[must_use]
    pub fn cell(&self, row: usize, column: &str) -> Value {
        let at = self.rows.first().and_then(|header| header.iter().position(|name| name == column));
        at.and_then(|at| self.rows.get(row)?.get(at)).cloned().unwrap_or_default()
    }

    /// The values below the header of a column, one for each row that is not blank.
    #[must_use]
    pub fn values(&self, column: &str) -> Vec<Value> {
        let values = (1..self.rows.len()).map(|row| self.cell(row, column));
        values.filter(|value| !value.is_null()).collect()
    }

    /// The rows below the header that are not blank.
    #[must_use]
    pub fn leads(&self) -> usize {
        self.rows.iter().skip(1).filter(|row| row.iter().any(|cell| !cell.is_null())).count()
    }

    fn shown(&self, row: usize, column: usize) -> Value {
        match self.rows.get(row).and_then(|row| row.get(column)) {
            None | Some(Value::Null) => json!({}),
            Some(Value::String(text)) => json!({"formattedValue": text}),
            Some(other) => json!({"formattedValue": other.to_string()}),
        }
    }

    /// A null leaves the cell as it is, an empty text empties it.
    fn write(&mut self, (row, column): (usize, usize), line: Vec<Value>) {
        if self.rows.len() <= row {
            self.rows.resize(row + 1, Vec::new());
        }
        let cells = &mut self.rows[row];
        if cells.len() < column + line.len() {
            cells.resize(column + line.len(), Value::Null);
        }
        for (at, value) in line.into_iter().enumerate().filter(|(_, value)| !value.is_null()) {
            cells[column + at] = if value == "" { Value::Null } else { value };
        }
    }
}

impl Vendor for GoogleSheets {
    fn handle(&mut self, request: &Request) -> Reply {
        if (request.method.as_str(), request.path.as_str()) == ("POST", "/token") {
            return self.log_in(&String::from_utf8_lossy(&request.body));
        }
        let id = Route::of(request).path.get(2).cloned().unwrap_or_default();
        self.gate(request, &id).unwrap_or_else(|| self.route(request))
    }
}

/// The values as they are told: what is blank behind the last is left out, what is blank before it is an empty text.
fn without_blanks_behind(mut values: Vec<Value>) -> Vec<Value> {
    while values.last().is_some_and(Value::is_null) {
        values.pop();
    }
    values.iter_mut().filter(|value| value.is_null()).for_each(|value| *value = json!(""));
    values
}

/// The one line that a call writes.
fn line(route: &Route) -> Result<Vec<Value>, Reply> {
    let refused = |message: &str| Err(refusal(400, "INVALID_ARGUMENT", message));
    if route.asked("valueInputOption") != "RAW" {
        return refused("'valueInputOption' is required but not specified");
    }
    let Some([Value::Array(line)]) = route.body["values"].as_array().map(Vec::as_slice) else {
        return refused("Invalid value at 'data.values'");
    };
    if line.iter().any(|value| value.is_array() || value.is_object()) {
        return refused("Invalid values: struct_value and list_value are not supported");
    }
    let is_long = |value: &Value| value.as_str().is_some_and(|text| text.encode_utf16().count() > CELL_MAX);
    if line.iter().any(is_long) {
        return refused("Your input contains more than the maximum of 50000 characters in a single cell.");
    }
    Ok(line.clone())
}

fn refusal(status: u16, word: &str, message: &str) -> Reply {
    answer(status, &json!({"error": {"code": status, "message": message, "status": word}}))
}

fn with_reason(status: u16, word: &str, message: &str, reason: &str) -> Reply {
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"});
    answer(status, &json!({"error": {"code": status, "message": message, "status": word, "details": [info]}}))
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json; charset=UTF-8").body(body.to_string())
}
