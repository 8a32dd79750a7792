"""Zoho's own client against our fake of Zoho CRM: `vendors.py` runs it with the others.

It learns the fields of a module before its first call to it, and checks what it sends and reads against these.
"""

import tempfile

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
from zohocrmsdk.src.com.zoho.crm.api import Initializer, ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.modules import MinifiedModule
from zohocrmsdk.src.com.zoho.crm.api.notes import BodyWrapper as NoteWrapper
from zohocrmsdk.src.com.zoho.crm.api.notes import Note, NotesOperations, ParentId
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations
from zohocrmsdk.src.com.zoho.crm.api.record import BodyWrapper, Record, RecordOperations, SearchRecordsParam
from zohocrmsdk.src.com.zoho.crm.api.tags import NewTagRequestWrapper, Tag, TagsOperations
from zohocrmsdk.src.com.zoho.crm.api.users import UsersOperations

EMAIL = "zoe@example.com"


class Nowhere(TokenStore):
    """Keeps no token, as the client would else in a file."""

    def find_token(self, token):
        return None

    find_token_by_id = find_token

    def save_token(self, token):
        pass

    delete_token = save_token

    def get_tokens(self):
        return []

    def delete_tokens(self):
        pass


def log_in(at, **changed):
    keys = {key: at[key] for key in ("client_id", "client_secret", "refresh_token")}
    Initializer.initialize(
        environment=DataCenter.Environment(at["url"], at["url"] + "/oauth/v2/token", at["url"]),
        token=OAuthToken(**{**keys, **changed}, find_user=False),
        store=Nowhere(),
        resource_path=tempfile.mkdtemp(),
    )


def given(wrapper, *data, **more):
    """A body as the client wants it: one that wraps what is sent."""
    wrapper.set_data(list(data))
    for key, value in more.items():
        getattr(wrapper, "set_" + key)(value)
    return wrapper


def lead(**fields):
    record = Record()
    for key, value in fields.items():
        record.add_key_value(key, value)
    return record


def told(answer):
    """The status, and of each record what became of it, with the id or what its error tells: all of it as texts."""
    entries = answer.get_object().get_data()
    return answer.get_status_code(), [(entry.get_code().get_value(), entry.get_details()) for entry in entries]


def zoho(at):
    leads = RecordOperations("Leads")
    for changed, code in (({"client_secret": "secret-2"}, "invalid_client"), ({"refresh_token": "x"}, "invalid_code")):
        try:
            log_in(at, **changed)
        except SDKException as raised:
            assert code in str(raised), raised
        else:
            raise AssertionError(f"{code} was expected")
    log_in(at)
    assert OrgOperations().get_organization().get_object().get_org()[0].get_company_name() == "Innkept Ltd"
    users = UsersOperations().get_users().get_object()
    assert [(user.get_id(), user.get_full_name()) for user in users.get_users()] == [(41, "Sam")]
    assert users.get_info().get_more_records() is False
    yield "login with a refresh token and its refusals, organization and users"
    upsert = lambda **fields: leads.upsert_records(given(BodyWrapper(), lead(**fields), duplicate_check_fields=["Email"]))
    status, [(code, made)] = told(upsert(Email=EMAIL, Last_Name="Ørsted", Company="Zoë's", Guests=80))
    assert (status, code) == (200, "SUCCESS"), (status, code, made)
    changed = told(upsert(Email="Zoe@example.com", Last_Name="Ørsted", Guests=95))
    assert changed == (200, [("SUCCESS", made)]), changed
    id = int(made["id"])
    assert told(leads.update_record(id, given(BodyWrapper(), lead(Company="Zoë & Co"))))[1] == [("SUCCESS", made)]
    yield "create, and update of the same Lead by email and by id"
    by_email = ParameterMap()
    by_email.add(SearchRecordsParam.email, EMAIL)
    for answer in (leads.search_records(by_email), leads.get_record(id)):
        [found] = answer.get_object().get_data()
        values = found.get_id(), found.get_key_value("Guests"), found.get_key_value("Company")
        assert values == (id, 95, "Zoë & Co"), values
    assert leads.get_record(404).get_status_code() == 204
    yield "look-up by email and by id, and 204 where nothing is"
    tag = Tag()
    tag.set_name("Website")
    wrapper = NewTagRequestWrapper()
    wrapper.set_tags([tag])
    assert told(TagsOperations().add_tags("Leads", id, wrapper))[1][0][0] == "SUCCESS"
    note, parent, module = Note(), ParentId(), MinifiedModule()
    module.set_api_name("Leads")
    parent.set_id(id)
    parent.set_module(module)
    note.set_parent_id(parent)
    note.set_note_content("New lead")
    assert told(NotesOperations().create_notes(given(NoteWrapper(), note)))[1][0][0] == "SUCCESS"
    yield "tag and note"
    too_long = told(upsert(Email="a@example.com", Last_Name="x" * 81))[1]
    assert too_long == [("INVALID_DATA", {"api_name": "Last_Name", "maximum_length": "80"})], too_long
    missing = told(upsert(Email="b@example.com", Company="Two"))[1]
    assert missing == [("MANDATORY_NOT_FOUND", {"api_name": "Last_Name"})], missing
    gone = told(leads.update_record(404, given(BodyWrapper(), lead(Company="Two"))))
    assert (gone[0], gone[1][0][0]) == (400, "INVALID_DATA"), gone
    stranger = OAuthToken(access_token="over", find_user=False)
    Initializer.get_initializer().token = stranger
    refused = leads.get_record(id)
    assert (refused.get_status_code(), refused.get_object().get_code().get_value()) == (401, "INVALID_TOKEN")
    yield "errors INVALID_DATA and MANDATORY_NOT_FOUND of a record, 401 INVALID_TOKEN"
