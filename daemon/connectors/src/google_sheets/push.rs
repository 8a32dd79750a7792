//! The row of a lead: made once, and found again wherever people moved it.

use super::{Compiled, KEY, NAME, VENDOR};
use crate::prelude::*;
use leadline_domain::template::percent_encode;

/// The longest text of a cell, in characters.
const CELL_MAX: usize = 50_000;
/// So many ids fit into an answer, of which a push reads 64 KiB.
const ROWS_READ: usize = 2000;
/// So many times a search reads on.
const READS_MAX: usize = 24;
/// Under which the sheet's number is kept, by which links lead to it.
pub(super) const SHEET: &str = "_sheet";
/// Under which the column is kept that the row's id was in.
const COLUMN: &str = "_column";

/// What a sheet says of itself.
pub(super) struct SheetHead {
    /// What the columns are called, from the first to the last that has a name.
    pub(super) header: Vec<String>,
    /// What stands in the cell that was asked for.
    cell: String,
    rows: usize,
    sheet: String,
}

/// What all calls are made from: the lead's id, its cells by their columns, and those that only a new row gets.
pub(super) fn render(ready: &Compiled, push: &Push<'_>) -> Result<Bytes> {
    let event = crm::event(push)?;
    let mut fields = crm::fields(&ready.mapping, &event, push)?;
    let id =
        fields.iter().find(|(column, _)| *column == ready.key).map(|(_, id)| crm::text(id).to_uppercase());
    let Some(id) = id else {
        return Err(crm::unrenderable(format!("{KEY}: is empty, and rows are found by it")));
    };
    let all = fields.clone();
    let lesser = crm::lesser_name(&ready.mapping, &event, push);
    let is_for_new = |column: &str| ready.mapping.is_for_new(column) || lesser.contains(&column);
    fields.retain(|(column, _)| *column == ready.key || !is_for_new(column));
    let made = all.into_iter().filter(|field| !fields.contains(field)).collect();
    let mut notes = Vec::new();
    let mut cells = |fields: Vec<(String, Json)>| {
        let mut cells = Json::Object(Vec::new());
        for (column, value) in fields {
            let value = match value {
                Json::Number(_) | Json::Bool(_) => value,
                _ if column == ready.key => Json::string(&id),
                other => {
                    let text = Json::string(&crm::text(&other));
                    crm::fit(&format!("column {column}"), text, (CELL_MAX, crm::cut), &mut notes)
                }
            };
            cells.insert(usize::MAX, &column, value);
        }
        cells
    };
    let (cells, new) = (cells(fields), cells(made));
    let mut plan = Json::object([("id", Json::string(&id)), ("cells", cells), ("new", new)]);
    crm::put_extras(&mut plan, [Json::Null, Json::Null, Json::Array(notes)]);
    Ok(crm::kept(plan))
}

/// Writes the row, or adds it.
pub(super) async fn bring(ready: &Compiled, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
    let mut plan = crm::value(&crm::rendered(push, ctx)?);
    let id = &plan["id"].as_str().unwrap_or_default().to_owned();
    let overwritten = format!("_overwritten.{}", push.id);
    let kept = ctx.id(COLUMN).zip(ctx.id("row"));
    let mut head = read_head(ready, kept.as_ref().map(|(column, row)| format!("{column}{row}")), ctx).await?;
    if head.header.is_empty() {
        head.header = ready.write_header(ctx).await?;
    }
    let Some(key) = head.header.iter().position(|name| *name == ready.key) else {
        let error =
            format!("{NAME}: the first row of {} must be the header, and has no {}", ready.sheet, ready.key);
        return Err(Failure::new(FailureClass::Rejected, error));
    };
    let column = letters(key);
    let is_there = |(at, _): &(String, String)| *at == column && head.cell.eq_ignore_ascii_case(id);
    let row = match kept.filter(is_there) {
        Some((_, row)) => Some(row),
        None => ready.find(push, &head, &column, id, ctx).await?,
    };
    let all = Json::from(&plan["cells"]);
    if row.is_some() {
        let mut news = Written::of(push, ctx).news(&all);
        // The id tells a row that took the place of this one.
        if let Json::Object(cells) = &mut news {
            cells.retain(|(column, _)| !column.is(&ready.key));
        }
        plan["cells"] = crm::value(&news);
    }
    let (start, line) = line(&head.header, &plan, row.is_none(), ctx);
    let row = match row {
        Some(row) => {
            let range = ready.range(&format!("{start}{row}:{}{row}", letters(head.header.len() - 1)));
            let write = ready.write(&range, &line).query(&[("includeValuesInResponse", "true")]);
            let written = VENDOR.good(ctx, write.long()).await?.json().unwrap_or_default();
            let width = line["values"][0].as_array().map_or(0, Vec::len);
            let own = &written["updatedData"]["values"][0][key + width - head.header.len()];
            let is_own = own.as_str().is_some_and(|own| own.trim().eq_ignore_ascii_case(id));
            if written["updatedData"].is_object() && !is_own {
                // Somebody removed a row above, or this one, between the look and the write. The attempt that delivers
                // tells it too: it is the last one that people look at.
                let lost = format!("row {row} became another while it was written: look what it says");
                ctx.keep(&[(&overwritten, &lost)]).await;
                return Err(Failure::new(FailureClass::Transient, format!("{NAME}: {lost}")));
            }
            row
        }
        None => ready.add(&start, &line, ctx).await?,
    };
    ctx.keep(&[("row", &row), (COLUMN, &column), (SHEET, &head.sheet)]).await;
    written::keep(&all, ctx).await;
    crm::keep_name(push, ctx).await?;
    ctx.id(&overwritten).into_iter().for_each(|lost| ctx.note(lost));
    Ok(())
}

/// Reads the header, and one cell of a row if it is still there.
pub(super) async fn read_head(
    ready: &Compiled,
    cell: Option<String>,
    ctx: &mut Conversation<'_>,
) -> Result<SheetHead> {
    let has_cell = cell.is_some();
    let mut answer = ctx.send(ready.overview(cell)).await?;
    if has_cell && answer.status == 400 {
        // So many rows were removed that the sheet ends before.
        answer = ctx.send(ready.overview(None)).await?;
    }
    let body = VENDOR.read(&answer, ctx.now)?;
    let sheet = &body["sheets"][0];
    let sheet_id = id_of(&sheet["properties"]["sheetId"]).ok_or_else(|| unread(NAME, &answer, "sheet"))?;
    let texts = |data: usize| -> Vec<String> {
        let cells = sheet["data"][data]["rowData"][0]["values"].as_array().into_iter().flatten();
        cells.map(|cell| cell["formattedValue"].as_str().unwrap_or_default().trim().to_owned()).collect()
    };
    let mut header = texts(0);
    while header.last().is_some_and(String::is_empty) {
        header.pop();
    }
    let rows = sheet["properties"]["gridProperties"]["rowCount"].as_u64().unwrap_or_default();
    let cell = texts(1).into_iter().next().unwrap_or_default();
    Ok(SheetHead { header, cell, rows: usize::try_from(rows).unwrap_or(0), sheet: sheet_id })
}

/// The letters of the header's first column, and the cells from there on in its order. What the lead does not have is
/// null, which leaves a cell as it is.
fn line(header: &[String], plan: &Value, is_new: bool, ctx: &mut Conversation<'_>) -> (String, Value) {
    let start = header.iter().position(|name| !name.is_empty()).unwrap_or(0);
    let mut values = vec![Value::Null; header.len() - start];
    let parts: &[&str] = if is_new { &["cells", "new"] } else { &["cells"] };
    for (column, value) in parts.iter().filter_map(|part| plan[*part].as_object()).flatten() {
        match header.iter().position(|name| name == column) {
            Some(at) => values[at - start] = value.clone(),
            None => ctx.note(format!("column {column} was left out: the header has none of that name")),
        }
    }
    (letters(start), json!({ "values": [values] }))
}

impl Compiled {
    /// A call about the spreadsheet. Verbs follow a colon, which must not be encoded.
    pub(super) fn request(&self, method: Method, rest: &str) -> Request {
        let mut url = self.base.clone();
        url.set_path(&format!("/v4/spreadsheets/{}{rest}", self.spreadsheet));
        Request::new(method, url)
    }

    /// A range of the sheet in A1 notation.
    pub(super) fn range(&self, cells: &str) -> String {
        format!("'{}'!{cells}", self.sheet.replace('\'', "''"))
    }

    fn overview(&self, cell: Option<String>) -> Request {
        let fields =
            "sheets(properties(sheetId,gridProperties.rowCount),data(rowData.values.formattedValue))";
        let mut query = vec![("fields", fields.to_owned()), ("prettyPrint", "false".to_owned())];
        query.push(("ranges", self.range("1:1")));
        query.extend(cell.map(|cell| ("ranges", self.range(&cell))));
        let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.request(Method::GET, "").query(&query)
    }

    fn values(&self, method: Method, range: &str, verb: &str) -> Request {
        let mut path = "/values/".to_owned();
        percent_encode(range, &mut path);
        self.request(method, &format!("{path}{verb}"))
    }

    /// A call that writes cells as they are: a text that looks like a formula stays a text.
    pub(super) fn write(&self, range: &str, line: &Value) -> Request {
        let request = self.values(Method::PUT, range, "").query(&[("valueInputOption", "RAW")]);
        request.json(line.to_string())
    }

    /// Gives an empty sheet its header.
    async fn write_header(&self, ctx: &mut Conversation<'_>) -> Result<Vec<String>> {
        let mut header: Vec<String> = Vec::new();
        for target in self.mapping.rules().iter().filter_map(|rule| rule.to.clone()) {
            if !header.contains(&target) {
                header.push(target);
            }
        }
        let line = json!({ "values": [header] });
        let range = self.range(&format!("A1:{}1", letters(header.len().saturating_sub(1))));
        VENDOR.good(ctx, self.write(&range, &line)).await?;
        Ok(header)
    }

    /// The row that has this id. People sort, so that it may be anywhere; new ones stand at the end. A lead that was not
    /// pushed before is looked for among the newest rows alone.
    async fn find(
        &self,
        push: &Push<'_>,
        head: &SheetHead,
        column: &str,
        id: &str,
        ctx: &mut Conversation<'_>,
    ) -> FoundId {
        let is_new = !push.is_repeat && push.event == EventKind::Created;
        let mut last = head.rows;
        for _ in 0..if is_new { 1 } else { READS_MAX } {
            if last < 2 {
                return Ok(None);
            }
            let first = last.saturating_sub(ROWS_READ - 1).max(2);
            let range = self.range(&format!("{column}{first}:{column}{last}"));
            let query = [("majorDimension", "COLUMNS"), ("fields", "values"), ("prettyPrint", "false")];
            let read = VENDOR.json(ctx, self.values(Method::GET, &range, "").query(&query)).await?;
            let ids = read["values"][0].as_array().map_or(&[][..], Vec::as_slice);
            let is_it =
                |value: &Value| value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case(id));
            if let Some(at) = ids.iter().rposition(is_it) {
                return Ok(Some((first + at).to_string()));
            }
            last = first - 1;
        }
        if is_new || last < 2 {
            return Ok(None);
        }
        let error = format!(
            "{NAME}: the lead is in none of the last {} rows of {}: move old rows to another sheet",
            ROWS_READ * READS_MAX,
            self.sheet
        );
        Err(Failure::new(FailureClass::Rejected, error))
    }

    /// Adds a row behind the last one.
    async fn add(&self, start: &str, line: &Value, ctx: &mut Conversation<'_>) -> Result<String> {
        let query = [("valueInputOption", "RAW"), ("insertDataOption", "INSERT_ROWS")];
        let request = self.values(Method::POST, &self.range(&format!("{start}1")), ":append").query(&query);
        let answer = VENDOR.good(ctx, request.json(line.to_string())).await?;
        let body = answer.json().unwrap_or_default();
        let range = body["updates"]["updatedRange"].as_str().unwrap_or_default();
        let cell = range.rsplit('!').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let row = cell.trim_start_matches(|character: char| character.is_ascii_alphabetic());
        if row.is_empty() || !row.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unreadable(NAME, &answer, "range of the new row"));
        }
        Ok(row.to_owned())
    }
}

/// The letters of a column: A for the first, AA for the one after Z.
fn letters(mut column: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[column % 26]));
        if column < 26 {
            return letters.into_iter().rev().collect();
        }
        column = column / 26 - 1;
    }
}
