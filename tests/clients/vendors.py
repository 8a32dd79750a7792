#!/usr/bin/env python3
"""The vendors' own clients against our fakes: what they send must be taken, and what is answered they must read.

Usage: vendors.py COMMAND..., where the command starts the fakes (`make vendor-check` does it all)
"""

import hashlib
import json
import subprocess
import sys

import mailchimp_marketing
import pyairtable
from mailchimp_marketing.api_client import ApiClientError
from requests.exceptions import HTTPError

LEAD = {"Lead ID": "01J8H6KQH4YG3XR8RWM6T6XFQE", "Name": "Zoë 👰", "Guests": 80, "Quote total": 12696.0}


def refused(status, errors, call):
    try:
        call()
    except errors as error:
        seen = getattr(error, "status_code", None) or error.response.status_code
        assert seen == status, f"{seen} is not {status}: {error}"
    else:
        raise AssertionError(f"{status} was expected")


def airtable(at):
    api = pyairtable.Api(at["token"], endpoint_url=at["url"])
    assert api.whoami()["email"] == "ada@example.com"
    columns = {field.name: field.type for field in api.base(at["base"]).schema().tables[0].fields}
    assert columns["Lead ID"] == "singleLineText", columns
    table = api.table(at["base"], at["table"])
    upsert = lambda fields: table.batch_upsert([{"fields": fields}], ["Lead ID"], typecast=True)
    made = upsert(LEAD)
    changed = upsert({**LEAD, "Guests": 95})
    assert made["createdRecords"] == changed["updatedRecords"], (made, changed)
    assert changed["records"][0]["fields"]["Guests"] == 95
    refused(422, HTTPError, lambda: upsert({**LEAD, "Gusts": 1}))
    refused(401, HTTPError, lambda: pyairtable.Api("patWrong", endpoint_url=at["url"]).whoami())


def mailchimp(at):
    client = mailchimp_marketing.Client()
    client.set_config({"api_key": at["api_key"]})
    client.api_client.host = at["url"] + "/3.0"
    assert client.root.get_root()["account_name"] == "Innkept Ltd"
    assert client.lists.get_list(at["list"])["id"] == at["list"]
    fields = client.lists.get_list_merge_fields(at["list"])["merge_fields"]
    assert {"FNAME", "LNAME", "PHONE"} <= {field["tag"] for field in fields}
    key = hashlib.md5(b"zoe@example.com").hexdigest()
    member = {"email_address": "Zoe@example.com", "status_if_new": "pending", "merge_fields": {"FNAME": "Zoë"}}
    put = lambda body: client.lists.set_list_member(at["list"], key, body, skip_merge_validation=True)
    assert put(member)["status"] == put(member)["status"] == "pending"
    tags = {"tags": [{"name": "Wedding", "status": "active"}]}
    client.lists.update_list_member_tags(at["list"], key, tags)
    refused(400, ApiClientError, lambda: put({**member, "merge_fields": {"NOPE": "x"}}))
    refused(404, ApiClientError, lambda: client.lists.get_list("another"))
    client.set_config({"api_key": "wrong-us21"})
    refused(401, ApiClientError, client.root.get_root)


def main():
    fakes = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    try:
        at = json.loads(fakes.stdout.readline())
        for check in (airtable, mailchimp):
            check(at[check.__name__])
            print(f"{check.__name__}: the vendor's client works against the fake")
    finally:
        fakes.terminate()
        fakes.wait()


if __name__ == "__main__":
    main()
