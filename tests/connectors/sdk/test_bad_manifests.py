"""Mistakes in a manifest: each is refused with file, line, path, what is wrong and a fix, and loads once it is corrected.

A row bends one place of a manifest that is good: `old` (unique in it) becomes `new`, and `right` is what the author writes
after reading the message. The line is that of `new`, or of what the row says.
"""

from dataclasses import dataclass

import pytest

from connectors.sdk import Manifest, ManifestError, load_manifest
from connectors.sdk.loader import MAX_BYTES

GOOD = """\
slug: acme
version: "1.0.0"
listing:
  name: Acme
  summary: Bring contacts and notes from Acme.
  description: A description that is long enough to be one.
  categories: [Sales]
  data:
    - object: Contacts
      text: Name and e-mail address are read.
  removal: Everything goes at once.
hosts: [api.acme.example, "{config.shop}.acme.example"]
auth:
  kind: oauth2
  authorize_url: https://acme.example/authorize
  token_url: https://api.acme.example/token
  scopes:
    - name: contacts.read
      reason: To read contacts.
config:
  - name: shop
    label: Shop
    kind: text
    help: The first part of the address.
    pattern: ^[a-z0-9-]{1,40}$
  - name: key
    label: Key
    kind: secret
    help: It is sealed at once.
  - name: projects
    label: Projects
    kind: list
    help: One a line.
errors:
  - status: [402]
    means: settings
check:
  request:
    path: /me
  account_id: id
streams:
  - name: contacts
    label: Contacts
    object_type: contact
    request:
      path: /contacts
      query: {owner: "{config.shop}"}
    records: data
    paging: {kind: cursor, path: paging.next}
    incremental: {kind: field, field: updated_at, parameter: since}
    fetch:
      path: /contacts/{id}
    match_key: email
    fields:
      - {name: email, label: E-mail, type: email}
      - {name: tags, label: Tags}
    mapping:
      - {target: email, sources: [email], transforms: [{name: trim}]}
    writes:
      create:
        request: {method: POST, path: /contacts, body: "{fields}"}
      create_safety:
        kind: lookup
        field: tags
        request: {path: /contacts, query: {tag: "{reference}"}}
        records: data
      update:
        request: {method: PATCH, path: "/contacts/{id}", body: "{fields}"}
  - name: notes
    label: Notes
    object_type: todo
    parent: {stream: contacts}
    request:
      path: /contacts/{parent.id}/notes
    fields:
      - {name: text, label: Text}
    mapping:
      - {target: title, sources: [text]}
webhooks:
  verify: {kind: hmac, header: X-Signature, secret: subscription}
  rules:
    - where: [{path: kind, one_of: [contact]}]
      stream: contacts
      id: contact_id
  subscribe:
    create: {method: POST, path: /hooks, body: {url: "{hook.url}"}}
upgrades:
  - below: 0.9.0
    read_again: [contacts]
"""


@dataclass(frozen=True)
class Mistake:
    """One mistake; `path` is where it is reported, `word` stands in what is said, `line` only where it is not that of `new`."""

    name: str
    old: str
    new: str
    path: str
    id: str
    word: str
    right: str | None = None
    at: str | None = None


M = Mistake
MISTAKES = [
    # The text itself.
    M("alias", "categories: [Sales]", "categories: &shelves [Sales]", "", "yaml", "anchor"),
    M("alias used", "categories: [Sales]", "categories: *shelves", "", "yaml", "alias"),
    M("bomb", "categories: [Sales]", "categories: &a [x, x]\n  b: &b [*a, *a]\n  c: [*b, *b]", "", "yaml", "anchor", at="&a"),
    M("merge key", "  name: Acme\n", "  <<: {a: b}\n  name: Acme\n", "listing", "yaml", "key", at="<<"),
    M("tag", "slug: acme", "slug: !!python/object:os.system acme", "", "yaml", "tag"),
    M("duplicate key", 'version: "1.0.0"', 'version: "1.0.0"\nslug: other', "", "yaml", "slug twice", at="slug: other"),
    M("duplicate key within", "    means: settings", "    means: settings\n    means: retry", "errors.0", "yaml", "means twice", at="means: retry"),
    M("tab", "  name: Acme", "\tname: Acme", "", "yaml", "cannot start any token"),
    M("not closed", "categories: [Sales]", "categories: [Sales", "", "yaml", "expected", at="data:"),
    M("two documents", "hosts: [", "---\nhosts: [", "", "yaml", "one plain document", at="---"),
    M("bidi text", "help: One a line.", "help: One \u202ea line.", "", "yaml", "hides text"),
    M("bidi as escape", "help: One a line.", 'help: "One \\u202ea line."', "config.2.help", "yaml", "hides text"),
    M("zero width", "name: Acme", "name: Ac\u200bme", "", "yaml", "hides text"),
    M("yes", "label: Shop", "label: yes", "config.0.label", "yaml", "two ways", right='label: "yes"'),
    M("octal", "label: Shop", "label: 0777", "config.0.label", "yaml", "two ways", right='label: "0777"'),
    M("time of day", "label: Shop", "label: 12:30:45", "config.0.label", "yaml", "two ways", right='label: "12:30:45"'),
    M("deep", "{owner: \"{config.shop}\"}", "{a: " + "[" * 25 + "]" * 25 + "}", "", "yaml", "nested deeper"),
    M("many values", "categories: [Sales]", "categories: [" + "x, " * 5001 + "x]", "", "yaml", "more than 5000"),
    # Shape.
    M("unknown key", "  account_id: id", "  acount_id: id", "check.acount_id", "extra_forbidden", "not permitted"),
    M("unknown key at the top", "upgrades:", "upgrade:", "upgrade", "extra_forbidden", "not permitted"),
    M("missing key", "    label: Notes\n", "", "streams.1.label", "missing", "required", right="    label: Notes\n", at="- name: notes"),
    M("wrong type", "categories: [Sales]", "categories: Sales", "listing.categories", "list_type", "list"),
    M("flag as text", "{name: tags, label: Tags}", '{name: tags, label: Tags, read_only: "perhaps"}', "streams.0.fields.1.read_only", "bool_parsing", "boolean"),
    M("number as word", "    means: settings", "    means: settings\nlimits: {calls: many}", "limits.calls", "int_parsing", "integer", at="limits:"),
    M("number too small", "    means: settings", "    means: settings\nlimits: {calls: 0}", "limits.calls", "greater_than_equal", "greater", at="limits:"),
    M("missing host", "hosts: [api.acme.example, \"{config.shop}.acme.example\"]", "hosts: []", "hosts", "too_short", "at least 1"),
    M("host with a scheme", "hosts: [api.acme.example", "hosts: [\"https://api.acme.example\"", "hosts.0", "string_pattern_mismatch", "match"),
    M("name with capitals", "- name: contacts\n", "- name: Contacts\n", "streams.0.name", "string_pattern_mismatch", "match"),
    M("version of two parts", 'version: "1.0.0"', 'version: "1.0"', "version", "string_pattern_mismatch", "match"),
    M("slug with a space", "slug: acme", "slug: acme corp", "slug", "string_pattern_mismatch", "match"),
    M("unknown kind of paging", "{kind: cursor, path: paging.next}", "{kind: magic, path: paging.next}", "streams.0.paging.kind", "literal_error", "Input should be"),
    M("unknown meaning", "means: settings", "means: sorry", "errors.0.means", "literal_error", "Input should be"),
    M("unknown field type", "label: E-mail, type: email", "label: E-mail, type: mail", "streams.0.fields.0.type", "literal_error", "Input should be"),
    M("scope without reason", "      reason: To read contacts.\n", "", "auth.scopes.0.reason", "missing", "required", right="      reason: To read contacts.\n", at="- name: contacts.read"),
    M("sign-in without address", "  authorize_url: https://acme.example/authorize\n", "", "auth", "value_error", "authorize_url", at="auth:"),
    M("pkce off without a reason", "  kind: oauth2", "  kind: oauth2\n  pkce: false", "auth", "value_error", "pkce_off_because", right="  kind: oauth2\n  pkce: false\n  pkce_off_because: The vendor refuses it.", at="auth:"),
    M("cursor without field", "{kind: field, field: updated_at, parameter: since}", "{kind: field, parameter: since}", "streams.0.incremental", "value_error", "needs the field"),
    M("token without path", "{kind: field, field: updated_at, parameter: since}", "{kind: token, parameter: since}", "streams.0.incremental", "value_error", "path of the token", right="{kind: token, path: next_token, parameter: since}"),
    M("two conditions in one", "{path: kind, one_of: [contact]}", "{path: kind, one_of: [contact], exists: true}", "webhooks.rules.0.where.0", "value_error", "exactly one"),
    M("parent of two kinds", "parent: {stream: contacts}", "parent: {stream: contacts, config: projects}", "streams.1.parent", "value_error", "exactly one"),
    M("GET with a body", "      path: /contacts\n", "      path: /contacts\n      body: {a: b}\n", "streams.0.request", "value_error", "no body", right="      method: POST\n      path: /contacts\n      body: {a: b}\n", at="    request:\n      path: /contacts\n      body"),
    M("body and form", "path: /contacts, body: \"{fields}\"}\n      create_safety", "path: /contacts, body: \"{fields}\", form: {a: b}}\n      create_safety", "streams.0.writes.create.request", "value_error", "not both"),
    M("create without safety", "      create_safety:\n        kind: lookup\n        field: tags\n        request: {path: /contacts, query: {tag: \"{reference}\"}}\n        records: data\n", "", "streams.0.writes", "value_error", "create_safety", right="      create_safety: {kind: review, because: The vendor knows neither key nor search.}\n", at="    writes:"),
    M("signature of nothing", "{kind: hmac, header: X-Signature, secret: subscription}", "{kind: hmac, parts: [{kind: url}]}", "webhooks.verify", "value_error", "proves nothing"),
    M("webhook without address", "    create: {method: POST, path: /hooks, body: {url: \"{hook.url}\"}}", "    create: {method: POST, body: {url: \"{hook.url}\"}}", "webhooks.subscribe.create.path", "missing", "required"),
    # What must fit together.
    M("stream twice", "- name: notes\n", "- name: contacts\n", "streams", "names-unique", "declared twice", at="streams:"),
    M("host of a setting without a pattern", "    pattern: ^[a-z0-9-]{1,40}$\n", "", "hosts.1", "host-source", "pattern", right="    pattern: ^[a-z]+$\n", at="hosts:"),
    M("an address as host", "hosts: [api.acme.example,", "hosts: [10.0.0.1, api.acme.example,", "hosts.0", "host-source", "address", right="hosts: [files.acme.example, api.acme.example,"),
    M("host not in the list", "    path: /me", "    path: /me\n    host: files.acme.example", "check.request.host", "host-listed", "not in hosts", right="    path: /me\n    host: api.acme.example", at="host: files"),
    M("token address elsewhere", "token_url: https://api.acme.example/token", "token_url: https://login.acme.example/token", "auth.token_url", "host-listed", "not in hosts"),
    M("token address without TLS", "token_url: https://api.acme.example/token", "token_url: http://api.acme.example/token", "auth.token_url", "host-listed", "https"),
    M("key that is no secret", "  kind: oauth2\n", "  kind: api_key\n  field: shop\n", "auth.field", "auth-fields", "secret", right="  kind: api_key\n  field: key\n", at="field: shop"),
    M("place unknown", "/contacts/{parent.id}/notes", "/contacts/{record.id}/notes", "streams.1.request", "places-known", "no value here", at="    request:\n      path: /contacts/{record"),
    M("setting unknown", "{owner: \"{config.shop}\"}", "{owner: \"{config.owner}\"}", "streams.0.request", "places-known", "no config field", at="    request:\n      path: /contacts\n"),
    M("secret in a URL", "path: /me", "path: /me/{config.key}", "check.request", "places-known", "secret", at="  request:\n    path: /me"),
    M("secret in a body", "path: /contacts, body: \"{fields}\"}\n      create_safety", "path: /contacts, body: {k: \"{config.key}\"}}\n      create_safety", "streams.0.writes.create.request", "places-known", "secret"),
    M("parent unknown", "parent: {stream: contacts}", "parent: {stream: people}", "streams.1.parent", "parent-known", "no stream people"),
    M("cycle of parents", "    match_key: email\n", "    match_key: email\n    parent: {stream: notes}\n", "streams.0.parent", "parent-known", "circle", right="    match_key: email\n", at="parent: {stream: notes}"),
    M("parents from a text", "parent: {stream: contacts}", "parent: {config: shop}", "streams.1.parent", "parent-known", "kind list", right="parent: {config: projects}"),
    M("cursor sent nowhere", "field: updated_at, parameter: since}", "field: updated_at}", "streams.0.incremental", "cursor-used", "nowhere"),
    M("paging without path", "{kind: cursor, path: paging.next}", "{kind: cursor}", "streams.0.paging", "paging-complete", "needs path"),
    M("source not declared", "sources: [text]", "sources: [body]", "streams.1.mapping.0", "mapping-fits", "no declared field"),
    M("target twice", "      - {target: title, sources: [text]}", "      - {target: title, sources: [text]}\n      - {target: title, sources: [text]}", "streams.1.mapping", "mapping-fits", "mapped twice", at="    mapping:\n      - {target: title"),
    M("transform unknown", "[{name: trim}]", "[{name: own}]", "streams.0.mapping.0", "mapping-compiles", "no transform own"),
    M("transform without a name", "[{name: trim}]", "[{args: {}}]", "streams.0.mapping.0", "mapping-compiles", "no name"),
    M("transform with arguments in a list", "[{name: trim}]", "[{name: trim, args: [a]}]", "streams.0.mapping.0", "mapping-compiles", "no map"),
    M("transform of nothing", "[{name: trim}]", "[{name: replace}]", "streams.0.mapping.0", "mapping-compiles", "needs Replace"),
    M("flows out of what cannot be turned round", "[{name: trim}]", "[{name: split}], direction: both", "streams.0.mapping.0", "mapping-compiles", "cannot be turned round", right="[{name: split}]"),
    M("flows out of a stream without writes", "sources: [text]", "sources: [text], direction: out", "streams.1.mapping.0", "mapping-compiles", "Nothing can be written", right="sources: [text], direction: in"),
    M("match key not mapped", "match_key: email", "match_key: phone", "streams.0.match_key", "mapping-fits", "not mapped"),
    M("update that cannot be compared", "    fetch:\n      path: /contacts/{id}\n", "", "streams.0.writes.update", "writes-safe", "before it is written", right="    fetch:\n      path: /contacts/{id}\n", at="      update:"),
    M("update of nothing", 'path: "/contacts/{id}", body', "path: /contacts, body", "streams.0.writes.update.request", "writes-safe", "name the record", at="method: PATCH"),
    M("scope nobody asks for", "    writes:\n      create:", "    writes:\n      scope: contacts.write\n      create:", "streams.0.writes.scope", "writes-safe", "optional scope", at="      scope: contacts.write"),
    M("search for nothing", 'query: {tag: "{reference}"}', "query: {tag: patchbay}", "streams.0.writes.create_safety.request", "writes-safe", "{reference}"),
    M("event of no stream", "      stream: contacts\n      id: contact_id", "      stream: people\n      id: contact_id", "webhooks.rules.0.stream", "webhooks-fit", "no stream people"),
    M("secret of a webhook not declared", "secret: subscription", "secret: config, secret_field: shop", "webhooks.verify.secret_field", "webhooks-fit", "secret", right="secret: config, secret_field: key"),
    M("pattern that never ends", "pattern: ^[a-z0-9-]{1,40}$", "pattern: ^([a-z]+)+$", "config.0.pattern", "pattern-safe", "repeats"),
    M("pattern that is none", "pattern: ^[a-z0-9-]{1,40}$", "pattern: ^[a-z$", "config.0.pattern", "pattern-safe", "regular expression"),
    M("upgrade of no stream", "read_again: [contacts]", "read_again: [people]", "upgrades.0", "upgrades-fit", "no stream people", at="- below"),
    M("upgrade to no setting", "read_again: [contacts]", "rename: {store: place}", "upgrades.0", "upgrades-fit", "no config field place", at="- below"),
]  # fmt: skip


def line_of(text: str, mark: str) -> int:
    return text.count("\n", 0, text.index(mark)) + 1


def bent(mistake: Mistake, new: str) -> str:
    assert GOOD.count(mistake.old) == 1, f"{mistake.old!r} stands {GOOD.count(mistake.old)} times in the good manifest"
    return GOOD.replace(mistake.old, new)


def refused(text: str | bytes) -> ManifestError:
    with pytest.raises(ManifestError) as error:
        load_manifest(text, source="acme/manifest.yaml")
    return error.value


def test_the_manifest_that_is_bent_is_good() -> None:
    assert isinstance(load_manifest(GOOD), Manifest)
    assert len(MISTAKES) >= 40
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named(mistake: Mistake) -> None:
    text = bent(mistake, mistake.new)
    error = refused(text)
    assert error.source == "acme/manifest.yaml"
    assert str(error).startswith("acme/manifest.yaml: ")
    found = [issue for issue in error.issues if (issue.path, issue.id) == (mistake.path, mistake.id)]
    assert found, [(issue.path, issue.id, issue.message) for issue in error.issues]
    issue = found[0]
    assert mistake.word in issue.message
    assert issue.fix, f"“{issue.message}” comes without a fix"
    mark = mistake.at or mistake.new.strip("\n")
    assert issue.line == line_of(text, mark), str(issue)
    assert len(str(issue)) < 400


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_corrected_manifest_loads(mistake: Mistake) -> None:
    load_manifest(bent(mistake, mistake.right or mistake.old))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (GOOD.replace("One a line.", "x" * (5 * 1024 * 1024)), f"{MAX_BYTES // 1024} kB"), (GOOD.encode("utf-16"), "UTF-8"),
        (b"\xff\xfe", "UTF-8"), ("", "empty"), ("# nothing", "empty"), (GOOD + "\x00", "hides text"),
    ],
    ids=["a scalar of 5 MB", "UTF-16", "no text", "empty", "only a comment", "NUL"],
)  # fmt: skip
def test_a_file_that_is_no_manifest_is_refused_whole(content: str | bytes, word: str) -> None:
    error = refused(content)
    assert word in error.issues[0].message
    assert error.issues[0].fix
    assert len(error.issues) == 1


@pytest.mark.parametrize("content", ["[]", "just a text", "1"])
def test_another_kind_of_document_is_refused(content: str) -> None:
    assert "acme/manifest.yaml" in str(refused(content))


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("match_key: email", "match_key: phone").replace(
        "secret: subscription", "secret: config, secret_field: shop"
    )
    assert {issue.id for issue in refused(text).issues} == {"mapping-fits", "webhooks-fit"}
    text = GOOD.replace("means: settings", "means: sorry").replace("type: email", "type: mail")
    assert [issue.path for issue in refused(text).issues] == ["errors.0.means", "streams.0.fields.0.type"]
