// Pipedrive's own client against our fake; vendors.py starts it. Says one line for each thing that holds.

const assert = require("node:assert/strict");
const { NotesApi, UsersApi, Configuration: First } = require("pipedrive/v1");
const { DealFieldsApi, DealsApi, PersonsApi, StagesApi, Configuration: Second } = require("pipedrive/v2");

const at = JSON.parse(process.argv[2]);
const apis = (apiKey) => {
  const first = new First({ apiKey, basePath: `${at.url}/api/v1` });
  const second = new Second({ apiKey, basePath: `${at.url}/api/v2` });
  return {
    users: new UsersApi(first), notes: new NotesApi(first), persons: new PersonsApi(second),
    deals: new DealsApi(second), dealFields: new DealFieldsApi(second), stages: new StagesApi(second),
  };
};

/** The fake counts bursts over two seconds: who is told so waits as long as the answer says. */
const quietly = async (call) => {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.errorCode !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
};

/** The client throws what the vendor said. */
const refused = (told, call) => assert.rejects(quietly(call), (error) => {
  const seen = Object.fromEntries(Object.keys(told).map((key) => [key, error[key]]));
  assert.deepEqual(seen, told);
  assert.equal(error.success, false);
  return true;
});

const main = async () => {
  const { users, notes, persons, deals, dealFields, stages } = apis(at.api_token);
  const me = await users.getCurrentUser();
  assert.deepEqual([me.success, me.data.default_currency], [true, "GBP"]);
  assert.equal((await stages.getStages({ pipeline_id: 1 })).data[0].name, "New");
  console.log("account and stages");

  const emails = [{ value: "zoe@example.com", primary: true, label: "work" }];
  const person = (await persons.addPerson({ AddPersonRequest: { name: "Zoë 👰", emails } })).data;
  assert.deepEqual(person.emails, emails);
  const deal = (await deals.addDeal({
    AddDealRequest: { title: "Wedding", person_id: person.id, value: 12696.5, currency: "GBP" },
  })).data;
  assert.equal(deal.value, 12696.5);
  const note = (await notes.addNote({ AddNoteRequest: { content: "<b>New lead</b>", deal_id: deal.id } })).data;
  console.log("create: person, deal and note");

  await persons.updatePerson({ id: person.id, UpdatePersonRequest: { name: "Zoë" } });
  await deals.updateDeal({ id: deal.id, UpdateDealRequest: { value: 13000, custom_fields: { ["c".repeat(40)]: 95 } } });
  assert.equal((await persons.getPerson({ id: person.id })).data.name, "Zoë");
  const changed = (await deals.getDeal({ id: deal.id })).data;
  assert.deepEqual([changed.title, changed.value, changed.custom_fields["c".repeat(40)]], ["Wedding", 13000, 95]);
  console.log("update");

  const found = await persons.searchPersons({ term: "Zoe@example.com", fields: "email", exact_match: true });
  const [{ item }] = found.data.items;
  assert.deepEqual([item.id, item.emails], [person.id, ["zoe@example.com"]]);
  const its = await deals.getDeals({ person_id: person.id, sort_by: "add_time", sort_direction: "desc", limit: 20 });
  assert.deepEqual(its.data.map((deal) => deal.id), [deal.id]);
  const written = await notes.getNotes({ deal_id: deal.id, sort: "add_time DESC", limit: 20 });
  assert.deepEqual(written.data.map((note) => note.id), [note.id]);
  console.log("look-up by email, of a person's deals and of a deal's notes");

  for (const name of ["Two", "Three"]) await quietly(() => persons.addPerson({ AddPersonRequest: { name } }));
  const names = [];
  let cursor;
  do {
    const page = await quietly(() => persons.getPersons({ limit: 2, cursor }));
    names.push(page.data.map((person) => person.name));
    cursor = page.additional_data.next_cursor;
  } while (cursor);
  assert.deepEqual(names, [["Zoë", "Two"], ["Three"]]);
  const fields = (await quietly(() => dealFields.getDealFields({ limit: 500 }))).data;
  assert.ok(fields.some((field) => field.field_code === "value" && field.field_name && field.field_type === "monetary"));
  console.log("look-up, page by page, and the fields of deals");

  const wrong = { AddDealRequest: { title: "x", value: "12" } };
  await refused({ code: "ERR_SCHEMA_VALIDATION_FAILED" }, () => deals.addDeal(wrong));
  await refused({ code: "ERR_NOT_FOUND" }, () => persons.getPerson({ id: 404 }));
  await refused({ errorCode: 401, error: "unauthorized access" }, () => apis("wrong").users.getCurrentUser());
  console.log("errors 400 ERR_SCHEMA_VALIDATION_FAILED, 404 ERR_NOT_FOUND and 401");

  const burst = Array.from({ length: 25 }, () => users.getCurrentUser());
  await assert.rejects(Promise.all(burst), { errorCode: 429 });
  await Promise.allSettled(burst);
  console.log("limit 429");
};

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
