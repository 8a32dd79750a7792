#!/usr/bin/env python3
"""The vendors' own clients against our fakes: what they send must be taken, and what is answered they must read.

Where a vendor publishes no client for Python, another is taken: Salesforce's is the community's simple-salesforce,
Google Sheets' is gspread and Discord's is discord-webhook, Pipedrive's own is for Node and has a script beside this one,
mail is Python's smtplib, ActiveCampaign's is the community's, Zoho's own has a module beside this one. There is none for
Microsoft's workflows nor for the hooks of automation services.

Usage: vendors.py COMMAND..., where the command starts the fakes (`make vendor-check` does it all)
"""

import hashlib
import json
import pathlib
import re
import smtplib
import subprocess
import sys
import time
import urllib.parse
from email.message import EmailMessage

import google.auth.exceptions
import gspread
import hubspot as hubspot_client
import mailchimp_marketing
import pyairtable
import requests
from activecampaign.client import Client as ActiveCampaign
from azure.core.credentials import AccessToken
from brevo import Brevo
from brevo import errors as brevo_errors
from discord_webhook import DiscordEmbed, DiscordWebhook
from hubspot.crm.contacts import SimplePublicObjectInput, SimplePublicObjectInputForCreate
from klaviyo_api import KlaviyoAPI
from mailchimp_marketing.api_client import ApiClientError
from openapi_client.exceptions import ApiException as KlaviyoError
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError as DataverseError
from requests.exceptions import HTTPError
from simple_salesforce import Salesforce, SalesforceLogin, format_soql
from simple_salesforce import exceptions as salesforce_errors
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.webhook import WebhookClient
from zoho import zoho

LEAD = {"Lead ID": "01J8H6KQH4YG3XR8RWM6T6XFQE", "Name": "Zoë 👰", "Guests": 80, "Quote total": 12696.0}
EMAIL = "zoe@example.com"


def refused(error, call, **told):
    """The call fails as the client's own error, which tells this."""
    try:
        call()
    except error as raised:
        for key, value in told.items():
            assert str(getattr(raised, key)) == str(value), f"{key} is {getattr(raised, key)!r}, not {value!r}: {raised}"
        return raised
    raise AssertionError(f"{error.__name__} was expected")


def airtable(at):
    api = pyairtable.Api(at["token"], endpoint_url=at["url"], retry_strategy=None)
    assert api.whoami()["email"] == "ada@example.com"
    columns = {field.name: field.type for field in api.base(at["base_id"]).schema().tables[0].fields}
    assert columns["Lead ID"] == "singleLineText", columns
    yield "account and schema"
    table = api.table(at["base_id"], at["table"])
    upsert = lambda fields: table.batch_upsert([{"fields": fields}], ["Lead ID"], typecast=True)
    made = upsert(LEAD)
    yield "create"
    changed = upsert({**LEAD, "Guests": 95})
    assert made["createdRecords"] == changed["updatedRecords"], (made, changed)
    assert changed["records"][0]["fields"]["Guests"] == 95
    yield "update of the same record"
    time.sleep(1)  # Five calls a second are allowed.
    two = table.batch_upsert([{"fields": {"Lead ID": str(number)}} for number in range(2)], ["Lead ID"])
    assert len(two["createdRecords"]) == 2, two
    pages = [len(page) for page in table.iterate(page_size=2)]
    assert pages == [2, 1], pages
    yield "look-up, page by page"
    raised = refused(HTTPError, lambda: upsert({**LEAD, "Gusts": 1}))
    assert raised.response.status_code == 422 and "UNKNOWN_FIELD_NAME" in str(raised), raised
    stranger = pyairtable.Api("patWrong", endpoint_url=at["url"])
    assert refused(HTTPError, stranger.whoami).response.status_code == 401
    yield "errors 422 UNKNOWN_FIELD_NAME and 401"
    raised = refused(HTTPError, lambda: [api.whoami() for _ in range(10)])
    assert raised.response.status_code == 429, raised
    yield "limit 429"


def mailchimp(at):
    client = mailchimp_marketing.Client()
    client.set_config({"api_key": at["api_key"]})
    client.api_client.host = at["url"] + "/3.0"
    assert client.root.get_root()["account_name"] == "Innkept Ltd"
    assert client.lists.get_list(at["list_id"])["id"] == at["list_id"]
    yield "account and audience"
    first = client.lists.get_list_merge_fields(at["list_id"], count=2)
    rest = client.lists.get_list_merge_fields(at["list_id"], count=1000, offset=2)
    tags = [field["tag"] for page in (first, rest) for field in page["merge_fields"]]
    assert first["total_items"] == len(tags) == len(set(tags)) and {"FNAME", "PHONE"} <= set(tags), tags
    yield "merge fields, page by page"
    key = hashlib.md5(EMAIL.encode()).hexdigest()
    member = {"email_address": "Zoe@example.com", "status_if_new": "pending", "merge_fields": {"FNAME": "Zoë"}}
    put = lambda body: client.lists.set_list_member(at["list_id"], key, body, skip_merge_validation=True)
    assert put(member)["status"] == put({**member, "status_if_new": "subscribed"})["status"] == "pending"
    yield "create and update of the same member"
    tags = {"tags": [{"name": "Wedding", "status": "active"}]}
    client.lists.update_list_member_tags(at["list_id"], key, tags)
    found = client.lists.get_list_member(at["list_id"], key)
    assert (found["merge_fields"]["FNAME"], found["tags"][0]["name"]) == ("Zoë", "Wedding"), found
    yield "tags and look-up"
    raised = refused(ApiClientError, lambda: put({**member, "merge_fields": {"NOPE": "x"}}), status_code=400)
    assert json.loads(raised.text)["title"] == "Invalid Resource", raised.text
    refused(ApiClientError, lambda: client.lists.get_list("another"), status_code=404)
    client.set_config({"api_key": "wrong-us21"})
    refused(ApiClientError, client.root.get_root, status_code=401)
    yield "errors 400 Invalid Resource, 404 and 401"


def hubspot(at):
    """The client speaks the version before the dated ones, which has the same calls under other paths."""
    client = hubspot_client.Client.create(access_token=at["token"], host=at["url"])
    api = client.crm.contacts.basic_api
    inputs = lambda **values: SimplePublicObjectInputForCreate(properties=values, associations=[])
    made = api.create(inputs(email=EMAIL, firstname="Zoë", guests="80"))
    assert made.properties["firstname"] == "Zoë" and made.created_at.year == 2026, made
    yield "create"
    changed = api.update(EMAIL, SimplePublicObjectInput(properties={"guests": "95"}), id_property="email")
    assert (changed.id, changed.properties["guests"]) == (made.id, "95"), changed
    yield "update by email"
    note = {"hs_timestamp": "1795000000000", "hs_note_body": "<b>New lead</b>"}
    to = {"to": {"id": made.id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}
    written = client.crm.objects.notes.basic_api.create({"properties": note, "associations": [to]})
    found = api.get_by_id(EMAIL, id_property="email", properties=["email"], associations=["notes"])
    assert [note.id for note in found.associations["notes"].results] == [written.id], found
    wanted = {"inputs": [{"id": written.id}], "properties": ["hs_note_body"], "propertiesWithHistory": []}
    read = client.crm.objects.notes.batch_api.read(wanted)
    assert read.status == "COMPLETE" and read.results[0].properties == {"hs_note_body": "<b>New lead</b>"}, read
    yield "note, and its look-up"
    for number in range(2):
        api.create(inputs(email=f"{number}@example.com"))
    first = api.get_page(limit=2)
    rest = api.get_page(limit=2, after=first.paging.next.after)
    assert (len(first.results), len(rest.results), rest.paging) == (2, 1, None), (first, rest)
    yield "look-up, page by page"
    known = {found.name: found.type for found in client.crm.properties.core_api.get_all("contacts").results}
    assert known["guests"] == "number", known
    yield "properties"
    error = hubspot_client.crm.contacts.ApiException
    raised = refused(error, lambda: api.create(inputs(email=EMAIL)), status=409)
    assert re.search(r"Existing ID: (\d+)", json.loads(raised.body)["message"])[1] == made.id, raised.body
    raised = refused(error, lambda: api.create(inputs(email="b@example.com", gusts="1")), status=400)
    assert "PROPERTY_DOESNT_EXIST" in json.loads(raised.body)["message"], raised.body
    refused(error, lambda: api.get_by_id("404"), status=404)
    stranger = hubspot_client.Client.create(access_token="pat-wrong", host=at["url"])
    raised = refused(error, stranger.crm.contacts.basic_api.get_page, status=401)
    assert json.loads(raised.body)["category"] == "INVALID_AUTHENTICATION", raised.body
    yield "errors 409 with the id, 400 PROPERTY_DOESNT_EXIST, 404 and 401"
    app = {"grant_type": "refresh_token", "client_id": "client-1", "client_secret": "secret-1"}
    token = client.oauth.tokens_api.create(**app, refresh_token="refresh-1")
    assert token.expires_in == 1800, token
    fresh = hubspot_client.Client.create(access_token=token.access_token, host=at["url"])
    assert fresh.crm.contacts.basic_api.get_page().results
    refused(
        hubspot_client.oauth.ApiException,
        lambda: client.oauth.tokens_api.create(**app, refresh_token="refresh-2"),
        status=400,
    )
    yield "login with a refresh token, and its refusal"
    raised = refused(error, lambda: [api.get_page() for _ in range(101)], status=429)
    assert json.loads(raised.body)["policyName"] == "TEN_SECONDLY_ROLLING", raised.body
    yield "limit 429 TEN_SECONDLY_ROLLING"


class ToFake(requests.adapters.HTTPAdapter):
    """Carries what a client sends to the vendor's own hosts to the fake."""

    def __init__(self, url):
        super().__init__()
        self.url = url

    def send(self, request, **options):
        request.url = re.sub(r"^https://[^/]+", self.url, request.url)
        return super().send(request, **options)


def salesforce(at):
    session = requests.Session()
    session.mount("https://", ToFake(at["url"]))
    key = pathlib.Path("daemon/connectors/src/salesforce/fixtures/key.pem").read_text()
    app = {"consumer_key": "client-1", "session": session}
    SalesforceLogin(username="ada@oldbarn.example", privatekey=key, **app)
    log_in = lambda secret: SalesforceLogin(domain="oldbarn.my", consumer_secret=secret, **app)
    refused(salesforce_errors.SalesforceAuthenticationFailed, lambda: log_in("secret-2"), code="invalid_client")
    session_id, instance = log_in("secret-1")
    yield "login with a key and with a secret, and its refusal"
    org = Salesforce(session_id=session_id, instance=instance, session=session, version="62.0")
    made = org.Lead.create({"LastName": "Ørsted", "Company": "Zoë's", "Email": "o'hara@example.com", "Guests__c": 80})
    assert made["success"] and made["errors"] == [], made
    yield "create"
    assert org.Lead.update(made["id"], {"Guests__c": 95}) == 204
    assert org.Lead.upsert("Lead_Ref__c/01J8H6KQH4YG3XR8RWM6T6XFQE", {"LastName": "Two", "Company": "Two"}) == 201
    assert org.Lead.upsert("Lead_Ref__c/01J8H6KQH4YG3XR8RWM6T6XFQE", {"LastName": "2"}) == 200
    yield "update, and upsert by the external id"
    by_email = "SELECT Id FROM Lead WHERE Email = {} AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 2"
    found = org.query_all(format_soql(by_email, "O'Hara@example.com"))
    assert [record["Id"] for record in found["records"]] == [made["id"]], found
    assert org.Lead.get(made["id"])["Guests__c"] == 95
    yield "look-up by email, and by id"
    fields = {field["name"]: field for field in org.Lead.describe()["fields"]}
    assert fields["Lead_Ref__c"]["externalId"] and not fields["Company"]["nillable"], fields
    yield "describe"
    errors = salesforce_errors
    raised = refused(errors.SalesforceMalformedRequest, lambda: org.Lead.create({"LastName": "x"}), status=400)
    assert raised.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING", raised.content
    raised = refused(errors.SalesforceMalformedRequest, lambda: org.Lead.update(made["id"], {"Nope__c": 1}))
    assert raised.content[0]["errorCode"] == "INVALID_FIELD", raised.content
    refused(errors.SalesforceResourceNotFound, lambda: org.Lead.get("00Q000000000404"), status=404)
    stranger = Salesforce(session_id="over", instance=instance, session=session, version="62.0")
    raised = refused(errors.SalesforceExpiredSession, stranger.Lead.describe, status=401)
    assert raised.content[0]["errorCode"] == "INVALID_SESSION_ID", raised.content
    yield "errors 400 REQUIRED_FIELD_MISSING and INVALID_FIELD, 404 and 401 INVALID_SESSION_ID"
    assert org.api_usage["api-usage"].used > 5, org.api_usage
    raised = refused(errors.SalesforceRefusedRequest, lambda: [org.Lead.describe() for _ in range(20)], status=403)
    assert raised.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED", raised.content
    yield "usage, and its limit 403 REQUEST_LIMIT_EXCEEDED"


class Credential:
    """Logs in as an application does: where Microsoft's own library for that does it is fixed."""

    def __init__(self, at):
        self.at = at

    def get_token(self, *scopes, **more):
        keys = {key: self.at[key] for key in ("client_id", "client_secret")}
        form = {**keys, "grant_type": "client_credentials", "scope": scopes[0]}
        told = requests.post(f"{self.at['url']}/{self.at['tenant_id']}/oauth2/v2.0/token", data=form).json()
        return AccessToken(told["access_token"], int(time.time()) + told["expires_in"])


class Stranger:
    def get_token(self, *scopes, **more):
        return AccessToken("over", int(time.time()) + 60)


def dynamics(at):
    def records(credential):
        client = DataverseClient("https://oldbarn.crm.dynamics.com", credential).__enter__()
        client._session.mount("https://", ToFake(at["url"]))
        return client.records

    leads = records(Credential(at))
    id = leads.create("lead", {"emailaddress1": "o'hara@example.com", "lastname": "Ørsted", "new_guests": 80})
    leads.update("lead", id, {"companyname": "Zoë's", "new_guests": 95})
    by_email = "emailaddress1 eq 'O''Hara@example.com' and statecode ne 1"
    found = leads.list("lead", filter=by_email, select=["leadid", "statecode"], top=2)
    assert [(lead["leadid"], lead["statecode"]) for lead in found] == [(id, 0)], found
    assert leads.retrieve("lead", id)["leadid"] == id
    yield "create, update and look-up by email and by id"
    by_key = {"alternate_key": {"new_leadref": LEAD["Lead ID"]}, "record": {"lastname": "Two"}}
    leads.upsert("lead", [by_key])
    leads.upsert("lead", [by_key])
    yield "upsert by the alternate key"
    leads.create("annotation", {"subject": "New lead", "notetext": "Zoë", "objectid_lead@odata.bind": f"/leads({id})"})
    [note] = leads.list("annotation", filter=f"_objectid_value eq {id}", select=["notetext"])
    assert note["notetext"] == "Zoë", note
    yield "note, and its look-up"
    write = lambda **values: lambda: leads.update("lead", id, values)
    refused(DataverseError, write(nope="x"), status_code=400)
    refused(DataverseError, write(leadsourcecode=99), status_code=400)
    gone = id[:-1] + "9"
    refused(DataverseError, lambda: leads.update("lead", gone, {"lastname": "x"}), status_code=404)
    assert leads.retrieve("lead", gone) is None
    refused(DataverseError, lambda: records(Stranger()).retrieve("lead", id), status_code=401)
    yield "errors 400 of a column and of a choice, 404 and 401"


def activecampaign(at):
    """The client hands out answers as they come, refusals too."""
    client = ActiveCampaign(at["url"], at["api_token"])
    assert client.lists.retrieve_a_list(at["list_id"])["list"]["id"] == at["list_id"]
    fields = client.contacts.list_all_custom_fields(limit=100)["fields"]
    [guests] = [field["id"] for field in fields if field["perstag"] == "GUESTS"]
    yield "list and custom fields"
    values = {"email": EMAIL, "firstName": "Zoë", "fieldValues": [{"field": guests, "value": "80"}]}
    sync = lambda values: client.contacts.create_or_update_contact({"contact": values})
    id = sync(values)["contact"]["id"]
    assert sync({**values, "email": "Zoe@example.com"})["contact"]["id"] == id
    [found] = client.contacts.list_all_contacts(email=EMAIL)["contacts"]
    assert (found["id"], found["firstName"]) == (id, "Zoë"), found
    yield "create, update and look-up of the same contact"
    time.sleep(1)  # Five calls a second are allowed.
    place = {"list": at["list_id"], "contact": id, "status": "1"}
    assert client.contacts.update_list_status_for_a_contact({"contactList": place})["contactList"]["status"] == "1"
    tag = client.tags.create_a_tag({"tag": {"tag": "Barn", "tagType": "contact", "description": ""}})["tag"]["id"]
    client.contacts.add_a_tag_to_contact({"contactTag": {"contact": int(id), "tag": int(tag)}})
    note = {"note": "New lead", "relid": int(id), "reltype": "Subscriber"}
    assert client.notes.create_a_note({"note": note})["note"]["note"] == "New lead"
    yield "list, tag and note"
    time.sleep(1)
    [error] = sync({"email": "nobody"})["errors"]
    assert error["code"] == "email_invalid", error
    assert "No Result found" in client.lists.retrieve_a_list("404")["message"]
    assert "permission" in ActiveCampaign(at["url"], "wrong").lists.retrieve_a_list(at["list_id"])["message"]
    yield "errors 422 email_invalid, 404 and 403"
    told = [client.lists.retrieve_a_list(at["list_id"]).get("message") for _ in range(6)]
    assert "Too Many Requests" in told, told
    yield "limit 429"


def slack(at):
    hook = WebhookClient(at["url"] + urllib.parse.urlsplit(at["webhook_url"]).path)
    hook.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
    section = lambda text: {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    sent = hook.send(text="New lead", blocks=[section("*Zoë* 👰")])
    assert (sent.status_code, sent.body) == (200, "ok"), sent.body
    yield "message"
    began = time.monotonic()
    sent = hook.send(text="Another")
    assert (sent.status_code, sent.body) == (200, "ok") and time.monotonic() - began >= 1, sent.body
    yield "limit 429, after which the client waits as it is told"
    refusals = {"no_text": {"text": ""}, "invalid_blocks": {"text": "x", "blocks": [section("x" * 3001)]}}
    for code, message in refusals.items():
        sent = hook.send(**message)
        assert (sent.status_code, sent.body) == (400, code), (sent.status_code, sent.body)
    sent = WebhookClient(at["url"] + "/services/T1/B1/GONE").send(text="x")
    assert (sent.status_code, sent.body) == (404, "no_service"), sent.body
    yield "errors 400 no_text and invalid_blocks, 404 no_service"


def google_sheets(at):
    """The client has Google's addresses as constants, and quotes ranges as we do."""
    for name, value in vars(gspread.http_client).items():
        if isinstance(value, str) and value.startswith("https://sheets.googleapis.com"):
            setattr(gspread.http_client, name, value.replace("https://sheets.googleapis.com", at["url"]))
    scopes = ["https://www.googleapis.com/auth/spreadsheets"]
    client = lambda key_file: gspread.service_account_from_dict({**key_file, "token_uri": at["url"] + "/token"}, scopes)
    book = client(at).open_by_key(at["spreadsheet_id"])
    sheet = book.worksheet("Leads")
    yield "login of a service account, and the sheet"
    sheet.update([["Lead ID", "Name", "Guests"]], "A1:C1", value_input_option="RAW")
    added = sheet.append_row(["U1", "Zoë", 80], value_input_option="RAW", insert_data_option="INSERT_ROWS", table_range="A1")
    assert added["updates"]["updatedRange"] == "'Leads'!A2:C2", added
    sheet.append_row(["U2", "=1+1"], value_input_option="RAW", insert_data_option="INSERT_ROWS", table_range="A1")
    yield "header and rows"
    sheet.update([[None, None, 95]], "A2:C2", value_input_option="RAW")
    assert (sheet.row_values(2), sheet.col_values(1)) == (["U1", "Zoë", "95"], ["Lead ID", "U1", "U2"])
    assert sheet.row_values(3) == ["U2", "=1+1"], "a text stays a text"
    yield "cells changed, and those that are null left alone"
    raised = refused(gspread.exceptions.APIError, lambda: sheet.update([["x", "y"]], "A1:A1"))
    assert raised.response.status_code == 400, raised
    refused(gspread.exceptions.SpreadsheetNotFound, lambda: client(at).open_by_key("another"))
    stranger = {**at, "client_email": "another@old-barn.iam.gserviceaccount.com"}
    refused(google.auth.exceptions.RefreshError, lambda: client(stranger).open_by_key(at["spreadsheet_id"]))
    yield "errors 400, 404 and invalid_grant"


def brevo(at):
    contacts = Brevo(api_key=at["api_key"], base_url=at["url"] + "/v3").contacts
    made = contacts.create_contact(email=EMAIL, attributes={"FIRSTNAME": "Zoë"}, list_ids=[3])
    contacts.create_contact(email=EMAIL, attributes={"LASTNAME": "O'Brien"}, update_enabled=True)
    contacts.update_contact(made.id, identifier_type="contact_id", attributes={"SMS": "+447700900123"})
    found = contacts.get_contact_info(EMAIL, identifier_type="email_id", start_date="2026-11-21", end_date="2026-11-21")
    assert (found.id, found.list_ids, found.email_blacklisted) == (made.id, [3], False), found
    yield "create, update and look-up of the same contact"
    assert {"FIRSTNAME", "SMS"} <= {own.name for own in contacts.get_attributes().attributes}
    yield "attributes"
    refused(brevo_errors.BadRequestError, lambda: contacts.create_contact(email=EMAIL))
    refused(brevo_errors.NotFoundError, lambda: contacts.get_contact_info("nobody@example.com"))
    yield "errors 400 and 404"


def klaviyo(at):
    """Its models are strict about what an answer must have."""
    client = KlaviyoAPI(at["api_key"], max_retries=1, test_host=at["url"])
    account = client.Accounts.get_accounts().data[0].attributes
    assert account.contact_information.organization_name == "Innkept Ltd", account
    assert client.Lists.get_list(at["list_id"]).data.attributes.opt_in_process == "single_opt_in"
    yield "account and list"
    upsert = lambda **attributes: client.Profiles.create_or_update_profile(
        {"data": {"type": "profile", "attributes": {"email": EMAIL, **attributes}}},
        additional_fields_profile=["subscriptions"],
    ).data
    consent = lambda profile: profile.attributes.subscriptions.email.marketing.consent
    made, changed = upsert(first_name="Zoë", properties={"guests": 80}), upsert(properties={"event": "wedding"})
    assert (made.id, consent(made)) == (changed.id, "NEVER_SUBSCRIBED"), (made, changed)
    [found] = client.Profiles.get_profiles(filter=f'equals(email,"{EMAIL}")').data
    assert (found.id, found.attributes.first_name) == (made.id, "Zoë"), found
    assert client.Profiles.get_profile(made.id).data.attributes.properties == {"guests": 80, "event": "wedding"}
    yield "create, update and look-up of the same profile"
    wanted = {"email": EMAIL, "subscriptions": {"email": {"marketing": {"consent": "SUBSCRIBED"}}}}
    profiles = {"data": [{"type": "profile", "id": made.id, "attributes": wanted}]}
    job = {
        "type": "profile-subscription-bulk-create-job",
        "attributes": {"custom_source": "Leadline", "profiles": profiles},
        "relationships": {"list": {"data": {"type": "list", "id": at["list_id"]}}},
    }
    client.Profiles.bulk_subscribe_profiles({"data": job})
    assert consent(upsert()) == "SUBSCRIBED"
    add = lambda client: client.Lists.add_profiles_to_list(at["list_id"], {"data": [{"type": "profile", "id": made.id}]})
    add(client)
    yield "subscription and list"
    event = {
        "unique_id": LEAD["Lead ID"],
        "time": "2026-11-21T12:00:00Z",
        "properties": {"Name": "Zoë"},
        "metric": {"data": {"type": "metric", "attributes": {"name": "Lead received"}}},
        "profile": {"data": {"type": "profile", "id": made.id, "attributes": {}}},
    }
    client.Events.create_event({"data": {"type": "event", "attributes": event}})
    yield "event"
    raised = refused(KlaviyoError, lambda: upsert(phone_number="12"), status=400)
    assert raised.data.errors[0].source.pointer == "/data/attributes/phone_number", raised.data
    refused(KlaviyoError, lambda: client.Lists.get_list("another"), status=404)
    refused(KlaviyoError, KlaviyoAPI("pk_wrong", max_retries=1, test_host=at["url"]).Accounts.get_accounts, status=401)
    yield "errors 400 with the attribute, 404 and 401"
    refused(KlaviyoError, lambda: [add(client) for _ in range(11)], status=429)
    began = time.monotonic()
    add(KlaviyoAPI(at["api_key"], max_retries=2, test_host=at["url"]))
    assert time.monotonic() - began >= 1
    yield "limit 429, after which the client waits as it is told"


def discord(at):
    path = urllib.parse.urlsplit(at["webhook_url"]).path
    hook = lambda path: DiscordWebhook(url=at["url"] + path, content="New lead", allowed_mentions={"parse": []})
    message = hook(path)
    message.add_embed(DiscordEmbed(description="Name: Zoë"))
    sent = message.execute()
    assert sent.status_code == 200 and sent.json()["channel_id"] == "1200", sent.text
    yield "message"
    message = hook(path)
    message.add_embed(DiscordEmbed(description="x" * 4097))
    assert message.execute().json()["code"] == 50035
    assert hook(path + "x").execute().json()["code"] == 50027
    yield "errors 50035 and 50027"


def mail(at):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "leads@barn.example", "sales@barn.example", "Zoë"
    message["Message-ID"], message["Date"] = "<1@barn.example>", "Sat, 21 Nov 2026 12:00:00 +0000"
    message.set_content("New lead\n.\n..and a dot", cte="quoted-printable")
    with smtplib.SMTP("127.0.0.1", at["port"], timeout=10) as server:
        refused(smtplib.SMTPSenderRefused, lambda: server.send_message(message), smtp_code=530)
        refused(smtplib.SMTPAuthenticationError, lambda: server.login("leads", "wrong"), smtp_code=535)
        server.user, server.password = "leads", "secret-password"
        server.auth("LOGIN", server.auth_login)
        yield "login, and its refusal 535"
        assert server.send_message(message) == {}
        assert server.send_message(message) == {}
        yield "two messages over one connection"
        nobody = lambda: server.send_message(message, to_addrs=["nobody@barn.example"])
        recipients = refused(smtplib.SMTPRecipientsRefused, nobody).recipients
        assert recipients["nobody@barn.example"][0] == 550, recipients
        two = server.send_message(message, to_addrs=["nobody@barn.example", "sales@barn.example"])
        assert two["nobody@barn.example"][0] == 550, two
        del message["Date"]
        refused(smtplib.SMTPDataError, lambda: server.send_message(message), smtp_code=554)
        yield "errors 550 of a recipient and 554 of a message"


    told = []

    def xoauth2(token):
        def answer(challenge=None):
            told.append(challenge)
            return f"user=leads\x01auth=Bearer {token}\x01\x01" if challenge is None else ""

        with smtplib.SMTP("127.0.0.1", at["port"], timeout=10) as server:
            server.ehlo()
            assert "XOAUTH2" in server.esmtp_features["auth"].split()
            return server.auth("XOAUTH2", answer)[0]

    assert xoauth2("good-token") == 235
    refused(smtplib.SMTPAuthenticationError, lambda: xoauth2("over"), smtp_code=535)
    assert json.loads(told[-1])["status"] == "400", told
    yield "login with a token, and its refusal as a challenge"


def pipedrive(at):
    script = pathlib.Path(__file__).with_name("pipedrive.cjs")
    told = subprocess.run(["node", script, json.dumps(at)], stdout=subprocess.PIPE, text=True)
    yield from told.stdout.splitlines()
    assert told.returncode == 0, f"{script.name} failed"


def main():
    fakes = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    try:
        at = json.loads(fakes.stdout.readline())
        crms = (hubspot, pipedrive, salesforce, zoho, dynamics)
        lists = (mailchimp, klaviyo, brevo, activecampaign)
        for check in (airtable, google_sheets, *crms, *lists, slack, discord, mail):
            for held in check(at[check.__name__]):
                print(f"{check.__name__}: {held}", flush=True)
    finally:
        fakes.terminate()
        fakes.wait()


if __name__ == "__main__":
    main()
