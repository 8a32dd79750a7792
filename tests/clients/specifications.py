"""Holds the golden requests of our connectors against vendors' OpenAPI specifications.

    specifications.py FOLDER

FOLDER holds specifications as vendors publish them, JSON or YAML, OpenAPI 3 or Swagger 2; none is part of this project.
Each request of each fixture is held against the operation with its method and path: its query, and its JSON body. It
says which specifications were used, what they know nothing of, and every difference, which is also a failure unless
KNOWN says why it is none of ours.
"""

import json
import pathlib
import re
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONNECTORS = ROOT / "daemon" / "connectors" / "src"
BODIES = ("post", "put", "patch")
URN = "urn:specification"

# Connector, request and difference, as they are told here, and why it is the specification that lacks something.
KNOWN = [
    (
        "activecampaign",
        r"GET .*",
        r"query (limit|offset) is not known",
        "every list takes limit and offset: developers.activecampaign.com/reference/pagination, read 2026-12-01",
    ),
    (
        "brevo",
        r"(GET|PUT) /v3/contacts/.*",
        r"query identifierType is not known",
        "Brevo's own client documents it (getbrevo/brevo-python of 2026-03-05, contacts_api), the community's specification not",
    ),
    (
        "pipedrive",
        r"POST /api/v2/organizations",
        r"the body: 'title' is a required property",
        "organizations have no title, their properties in the same specification neither: name is what is required",
    ),
    (
        "zoho",
        r"POST /crm/v8/Notes",
        r"data/0: '(?!Note_Content|Parent_Id).*' is a required property",
        "the specification asks of a new note what Zoho's answers have, its id and times included",
    ),
    (
        "zoho",
        r"POST /crm/v8/Leads/\d+/actions/add_tags",
        r"(the body: 'ids'|tags/\d+: '(?!name).*') is a required property",
        "ids are for several records, and a tag is told by its name alone: zoho.com/crm/developer/docs/api/v8/add-tags.html, "
        "read 2026-12-01",
    ),
    (
        "zoho",
        r"GET /crm/v8/Leads/\d+/Notes",
        r"query sort_(by|order) is not known",
        "told of all Notes and by Zoho's SDKs of a record's; not confirmed by a document of v8: an account that took no notice "
        "would list them in its own order",
    ),
]


def fixtures():
    """Connector, file and request of every golden request; a file has one, or a list of them."""
    for file in sorted(CONNECTORS.glob("*/fixtures/*.json")):
        requests = json.loads(file.read_text())
        for request in requests if isinstance(requests, list) else [requests]:
            if isinstance(request, dict) and {"method", "url"} <= request.keys():
                yield file.parts[-3], file.name, request


def as_json_schema(node):
    """OpenAPI 3.0 as JSON Schema: null is a type there, and what is exclusive is a number."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    node = {key: as_json_schema(value) for key, value in node.items()}
    if node.pop("nullable", False) is True and "type" in node:
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        node["type"] = [*kinds, "null"]
        if isinstance(node.get("enum"), list):
            node["enum"] = [*node["enum"], None]
    for bound in ("Minimum", "Maximum"):
        if isinstance(node.get("exclusive" + bound), bool):
            is_exclusive = node.pop("exclusive" + bound)
            if is_exclusive and bound.lower() in node:
                node["exclusive" + bound] = node.pop(bound.lower())
    return node


class Specification:
    def __init__(self, file):
        # Both are read by a reader of YAML, but JSON much faster by its own.
        read = json.loads if file.suffix == ".json" else lambda text: yaml.load(text, yaml.CSafeLoader)
        self.document = as_json_schema(read(file.read_text()))
        self.document = self.rooted(self.document)
        info = self.document.get("info", {})
        self.name = f"{file.name} ({info.get('title', '?')} {info.get('version', '?')})"
        resource = Resource(contents=self.document, specification=DRAFT202012)
        self.registry = Registry().with_resource(URN, resource)
        self.used = {}
        self.operations = []
        for path, item in self.document.get("paths", {}).items():
            # Discord gives webhooks' URLs without the version.
            pattern = re.sub(r"(/v\d+)$", r"(?:\1)?", re.escape(self.base())) + re.escape(path)
            pattern = re.compile(re.sub(r"\\{[^/]*?\\}", "([^/]+)", pattern) + "/?$")
            for method in ("get", "post", "put", "patch", "delete"):
                if method in item:
                    own = [*item.get("parameters", []), *item[method].get("parameters", [])]
                    own = [self.resolved(parameter) for parameter in own]
                    self.operations.append((path.count("{"), pattern, method, path, item[method], own))

    def base(self):
        if "swagger" in self.document:
            return self.document.get("basePath", "").rstrip("/")
        servers = self.document.get("servers") or [{"url": ""}]
        return urlsplit(servers[0]["url"]).path.rstrip("/")

    def resolved(self, node):
        while isinstance(node, dict) and "$ref" in node:
            found = self.document
            for step in node["$ref"].removeprefix(URN).lstrip("#/").split("/"):
                # A reference to another document, or to nothing, says nothing.
                step = unquote(step).replace("~1", "/").replace("~0", "~")
                found = found.get(step, {}) if isinstance(found, dict) else {}
            node = found
        return node

    def rooted(self, node):
        """References within a document, as they are from outside of it."""
        if isinstance(node, list):
            return [self.rooted(one) for one in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            is_told = node["$ref"].startswith("#") and self.resolved(node)
            return {"$ref": URN + node["$ref"]} if is_told else {}
        return {key: self.rooted(value) for key, value in node.items()}

    def find(self, method, path):
        """The operation that a request is: of several, the one with the fewest parts that may be anything."""
        fits = [one for one in self.operations if one[2] == method and one[1].match(path)]
        return min(fits, key=lambda one: one[0], default=None)

    def differences(self, operation, url, body):
        _, _, method, _, told, parameters = operation
        query = {one["name"]: one for one in parameters if one.get("in") == "query"}
        asked = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
        # `fields[list]` and the like are told as one parameter of objects.
        known = set(query) | {name.split("[")[0] for name in query}
        yield from (f"query {name} is not known" for name in asked if name not in known and name.split("[")[0] not in known)
        missing = [name for name, one in query.items() if one.get("required") and name not in asked]
        yield from (f"query {name} is required" for name in missing)
        if method in BODIES:
            yield from self.body_differences(told, parameters, body)

    def body_differences(self, told, parameters, body):
        schema = next((one.get("schema") for one in parameters if one.get("in") == "body"), None)
        content = self.resolved(told.get("requestBody", {})).get("content", {})
        for kind, one in content.items():
            if schema is None and "json" in kind:
                schema = one.get("schema")
        if schema is None:
            if body not in ("", None, {}) and not content:
                yield "a body is not known"
            return
        validator = jsonschema.Draft202012Validator(schema, registry=self.registry)
        for error in validator.iter_errors(body):
            where = "/".join(str(step) for step in error.absolute_path) or "the body"
            yield f"{where}: {error.message[:200]}"


def known(connector, request, difference):
    """Why a difference is none of ours."""
    for own, requests, differences, why in KNOWN:
        if own == connector and re.fullmatch(requests, request) and re.fullmatch(differences, difference):
            return why
    return None


def read(folder):
    """The specifications of a folder, and why files of it are none."""
    specifications, unreadable = [], []
    for file in sorted(pathlib.Path(folder).iterdir()):
        if file.suffix not in (".json", ".yaml", ".yml"):
            continue
        try:
            specifications.append(Specification(file))
        except (ValueError, OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            unreadable.append(f"{file.name}: no specification can be read from it: {first}")
    return specifications, unreadable


def main(folder):
    specifications, unreadable = read(folder)
    if not specifications and not unreadable:
        sys.exit(f"{folder}: no specifications, which end in .json, .yaml or .yml")
    unknown, differing, explained, covered = {}, list(unreadable), {}, set()
    connectors = {file.parts[-3] for file in CONNECTORS.glob("*/fixtures/*")}
    for connector, file, request in fixtures():
        url = urlsplit(request["url"])
        method = request["method"].lower()
        fits = [(one, one.find(method, url.path)) for one in specifications]
        fits = [(one, operation) for one, operation in fits if operation]
        if not fits:
            unknown.setdefault(connector, set()).add(f"{request['method']} {url.path}")
            continue
        covered.add(connector)
        # The narrowest one; a specification of any object knows less of contacts than that of contacts does.
        specification, operation = min(fits, key=lambda fit: fit[1][0])
        specification.used[connector] = specification.used.get(connector, 0) + 1
        told = f"{request['method']} {url.path}"
        for difference in specification.differences(operation, url, request.get("body")):
            if why := known(connector, told, difference):
                explained[connector, why] = explained.get((connector, why), 0) + 1
                continue
            differing.append(f"{connector} {file}: {told}: {difference} [{specification.name}]")
    for one in specifications:
        used = ", ".join(f"{count} requests of {connector}" for connector, count in one.used.items())
        print(f"{one.name}: {used or 'not used'}")
    for connector in sorted(covered & unknown.keys()):
        print(f"no specification knows, of {connector}: " + ", ".join(sorted(unknown[connector])))
    for connector in sorted(connectors - covered):
        print(f"no specification of {connector}")
    for (connector, why), count in explained.items():
        print(f"known, {connector}, {count} times: {why}")
    print("\n".join(differing) or "no difference beside those")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
