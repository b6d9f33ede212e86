"""The files of a new connector: they work against their own fixtures from the start, and say what to change."""

import ast
from dataclasses import dataclass
from typing import Any

import orjson

AUTHS = ("bearer", "api_key", "basic", "oauth2", "none")


@dataclass(frozen=True)
class Plan:
    """What is known of the new API. Without a host its address is asked of the customer (self-hosted products)."""

    slug: str
    name: str
    host: str | None
    auth: str
    stream: str

    @property
    def server(self) -> str:
        """The address that the tests use."""
        return f"https://{self.host}" if self.host else f"https://{self.slug}.example.test"


def files(plan: Plan) -> dict[str, str]:
    """Return path below the project -> content."""
    home, tests = f"connectors/{plan.slug}", f"tests/connectors/{plan.slug.replace('-', '_')}"
    made = {
        f"{home}/manifest.yaml": _manifest(plan), f"{home}/README.md": _readme(plan), f"{home}/icon.svg": _icon(plan),
        f"{tests}/__init__.py": "", f"{tests}/test_contract.py": _test(plan),
    }  # fmt: skip
    return made | {f"{home}/fixtures/{name}.json": _json(data) for name, data in _fixtures(plan).items()}


def with_slug(registry: str, slug: str) -> str:
    """Return the text of registry.py with one more slug in SLUGS."""
    found = next(
        node
        for node in ast.parse(registry).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SLUGS"
    )
    slugs = sorted({*ast.literal_eval(found.value), slug})
    line = "SLUGS = (" + ", ".join(f'"{name}"' for name in slugs) + ("," if len(slugs) == 1 else "") + ")"
    if len(line) > 120:
        line = "SLUGS = (\n" + "".join(f'    "{name}",\n' for name in slugs) + ")"
    lines = registry.splitlines()
    return "\n".join([*lines[: found.lineno - 1], line, *lines[found.end_lineno :]]) + "\n"


_AUTH = {
    "bearer": "auth:\n  kind: bearer\n  field: token",
    "api_key": "auth:\n  kind: api_key\n  field: token\n  parameter: X-Api-Key  # The header; place: query for a parameter.",
    "basic": "auth:\n  kind: basic\n  username: user\n  password: token",
    "oauth2": (
        'auth:\n  kind: oauth2\n  authorize_url: "{base}/oauth/authorize"\n  token_url: "{base}/oauth/token"\n  scopes:\n'
        "    - name: read\n      reason: To read the records that are synced."
    ),
    "none": "auth:\n  kind: none",
}
_SEALED_FIELD = """  - name: token
    label: Access token
    kind: secret
    help: Made in the settings of {name}. It is sealed at once and never shown again.
"""
_USER = """  - name: user
    label: Account
    kind: text
    help: The account that the token belongs to.
    example: patchbay
"""
_SERVER = """  - name: server
    label: Server
    kind: origin
    help: The address of your {name} server, without a path.
    example: https://{slug}.example.test
"""


def _manifest(plan: Plan) -> str:
    config = "" if plan.host else _SERVER
    config += _USER if plan.auth == "basic" else ""
    config += _SEALED_FIELD if plan.auth in ("bearer", "api_key", "basic") else ""
    base = "{origin}" if plan.host is None else f"https://{plan.host}"
    hosts = f"hosts: [{plan.host}]" if plan.host else "hosts:\n  from: server"
    parts = {
        "hosts": hosts, "auth": _AUTH[plan.auth].replace("{base}", base), "slug": plan.slug, "name": plan.name,
        "stream": plan.stream, "label": plan.stream.replace("_", " ").capitalize(),
        "config": "config:\n" + config.format(name=plan.name, slug=plan.slug) if config else "config: []\n",
    }  # fmt: skip
    text = _MANIFEST
    for key, value in parts.items():
        text = text.replace(f"<{key}>", value)
    return text


_MANIFEST = """\
# <name>: cite the vendor's page for each fact, as https://developers.example.com/reference
# Every key: docs/manifest.md. After each change: flask connectors check <slug>
schema_version: 1
slug: <slug>
version: "1.0.0"
listing:
  name: <name>
  summary: Bring <stream> from <name> and keep them up to date.
  description: >-
    Say here in a few sentences, for customers, what arrives and how fresh it is. The first run reads everything; after
    that only what changed is read.
  categories: [CRM]
  data:
    - object: <label>
      text: Name and e-mail address are read.
  limits:
    - Nothing is written to <name>.
  removal: The access is deleted at once. You choose whether the records that were read stay or go.
<hosts>
<auth>
<config>errors:
  # What an answer means where the status alone does not say it. 401, 403, 429 and 5xx are understood without a rule.
  - status: [402]
    means: settings
    sentence: The <name> account has been closed or not paid.
    fix: Look at the account in <name>.
check:
  # The call that proves the connection; account_id and account_name are paths in its answer.
  request:
    path: /me
  account_id: id
  account_name: name
streams:
  - name: <stream>
    label: <label>
    object_type: contact
    request:
      path: /<stream>
    # Where the list stands in the answer, and in an item its id (left out: id), its version, its time of change.
    records: data
    version: updated_at
    updated: updated_at
    paging: {kind: cursor, parameter: cursor, path: next, size_parameter: limit, size: 100}
    # How only what changed is read. No such parameter at the vendor: take this away, everything is read each time.
    incremental: {kind: field, field: updated_at, parameter: updated_since, format: iso}
    # How an item says that it is gone. The vendor does not tell: take this away, the weekly full pass finds out.
    deleted: {path: deleted}
    fetch:
      path: /<stream>/{id}
    match_key: email
    fields:
      - {name: name, label: Name}
      - {name: email, label: E-mail, type: email}
    mapping:
      - {target: full_name, sources: [name], transforms: [{name: trim}]}
      - {target: email, sources: [email], transforms: [{name: trim}, {name: case, args: {to: lower}}]}
"""


def _readme(plan: Plan) -> str:
    return f"""# {plan.name}

Reads {plan.stream} from {plan.name}: name and e-mail address. The first run reads everything; later runs read what has
changed since, deletes included. Nothing is written to {plan.name}.

## Set up

1. Make an access token in the settings of {plan.name}. Say here where, and which permissions it needs.
2. Enter it. The connection is tested at once.
3. Choose what to sync and how often, look at the mapping, start syncing.

For the operator: nothing has to be registered at {plan.name}.

## Limits

- Say what the vendor does not tell, and how long a change takes to arrive.

## Removal

The access is deleted at once. You choose whether the records that were read stay or go. {plan.name} is left as it is.

## Verified

| part | how | date |
| --- | --- | --- |
| everything | not yet: the fixtures are made up by the scaffold | |
"""


def _icon(plan: Plan) -> str:
    # Our own drawing, never the vendor's logo: a tile whose colour follows from the name.
    hue = sum(plan.slug.encode()) * 47 % 360
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" rx="9" '
        f'fill="hsl({hue} 60% 92%)"/><path d="M11 14h18M11 20h18M11 26h11" stroke="hsl({hue} 60% 32%)" '
        f'stroke-width="3" stroke-linecap="round" fill="none"/></svg>\n'
    )


def _test(plan: Plan) -> str:
    settings = "{}" if plan.host else f'{{"server": "{plan.server}"}}'
    return f'''"""The contract of connectors/{plan.slug}."""

from tests.connectors.contract import HouseContract


class TestContract(HouseContract):
    slug = "{plan.slug}"
    settings = {settings}
    since = {{"{plan.stream}": "2026-11-24T08:00:00Z"}}
'''


def _fixtures(plan: Plan) -> dict[str, Any]:
    def item(number: int, **more: Any) -> dict[str, Any]:
        name = ("Ada Byron", "Grace Okafor", "Hedy Moreau")[number - 1]
        mail = f"{name.split()[0].lower()}@example.test"
        return {"id": number, "name": name, "email": mail, "updated_at": f"2026-11-24T08:0{number}:00Z", **more}

    def exchange(name: str, path: str, body: Any, **query: str) -> dict[str, Any]:
        return {
            "name": name, "verified": "made up by the scaffold: record it from the live API",
            "request": {"method": "GET", "path": path, "query": query, "body": None},
            "response": {"status": 200, "headers": {"content-type": "application/json"}, "body": body},
        }  # fmt: skip

    listed, since = f"/{plan.stream}", "2026-11-24T08:00:00Z"
    gone = {"id": 3, "deleted": True, "updated_at": "2026-11-24T09:01:00Z"}
    return {
        "check": exchange("check", "/me", {"id": 1, "name": "Example account"}),
        f"{plan.stream}-full": exchange(
            "full pass, first page", listed, {"data": [item(1), item(2)], "next": "b"}, limit="100"
        ),
        f"{plan.stream}-full-2": exchange(
            "full pass, last page", listed, {"data": [item(3)], "next": None}, limit="100", cursor="b"
        ),
        f"{plan.stream}-changes": exchange(
            "what changed, with one that is gone", listed, {"data": [item(1), gone], "next": None},
            limit="100", updated_since=since,
        ),
        f"{plan.stream}-one": exchange("one record", f"/{plan.stream}/2", item(2)),
    }  # fmt: skip


def _json(data: Any) -> str:
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n"
