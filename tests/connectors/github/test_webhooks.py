"""Events from GitHub: signatures proved both ways with GitHub's own library, and what each kind of event says."""

import json
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import orjson
import pytest

from connectors.registry import get
from connectors.sdk import Secret, samples, webhooks
from connectors.sdk.webhooks import Delivery
from tests.connectors.github.local import NOW

HOOKS = get("github").manifest.webhooks
assert HOOKS is not None
SECRET = "It's a Secret to Everybody"
REPOSITORY = {"full_name": "octo-org/support", "name": "support"}
PROGRAM = """
import { sign, verify } from "@octokit/webhooks-methods";
const [secret, body, signature] = JSON.parse(process.argv[2]);
console.log(JSON.stringify([await sign(secret, body), signature ? await verify(secret, body, signature) : null]));
"""


@pytest.fixture(scope="module")
def octokit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """GitHub's library: secret, body, signature -> its own signature, and whether it takes the given one."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm is needed to install @octokit/webhooks-methods")
    folder = tmp_path_factory.mktemp("octokit")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", "@octokit/webhooks-methods@6.0.0"]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if installed.returncode:
        pytest.skip(f"@octokit/webhooks-methods cannot be installed: {installed.stderr[-200:]}")
    (folder / "run.mjs").write_text(PROGRAM)

    def run(body: str, signature: str = "", secret: str = SECRET) -> list[Any]:
        argument = json.dumps([secret, body, signature])
        done = subprocess.run([node, "run.mjs", argument], cwd=folder, capture_output=True, text=True, check=True)
        return list(json.loads(done.stdout))

    return run


def delivered(body: Any, **headers: str) -> Delivery:
    """Return a delivery that is signed by us as GitHub would."""
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return samples.signed(HOOKS.verify, content, Secret(SECRET), headers=headers)


def verdict(delivery: Delivery) -> str:
    """Return what a delivery is worth."""
    return webhooks.verify(HOOKS.verify, delivery, [Secret("an older one"), Secret(SECRET)], NOW)


def said(body: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return action and id of each event in a body."""
    return [(event.action, event.record_id) for event in webhooks.events(HOOKS, delivered(body))]


def test_githubs_own_example() -> None:
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    delivery = delivered("Hello, World!")
    assert delivery.headers["x-hub-signature-256"] == given
    assert verdict(delivery) == "accepted"


@pytest.mark.parametrize("body", ['{"action":"opened"}', '{"title":"Tür 🚪 “open”"}'])
def test_what_githubs_library_signs_we_take_and_the_other_way_round(octokit: Any, body: str) -> None:
    ours = delivered(body)
    theirs, taken = octokit(body, ours.headers["x-hub-signature-256"])
    assert taken is True
    signed = replace(ours, headers={"x-hub-signature-256": theirs})
    assert verdict(signed) == "accepted"
    assert verdict(replace(signed, body=signed.body + b" ")) == "bad_signature"
    assert octokit(body + " ", theirs)[1] is False
    assert webhooks.verify(HOOKS.verify, signed, [Secret("another")], NOW) == "bad_signature"


@pytest.mark.parametrize(
    "header", ["", "sha1=757107ea", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]
)
def test_no_signature_of_the_right_kind_is_a_refusal(header: str) -> None:
    delivery = Delivery("POST", "https://p.test/hook", {"x-hub-signature-256": header}, b"Hello, World!")
    assert verdict(delivery) == "no_signature"


def test_a_delivery_is_known_by_githubs_id() -> None:
    name = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    first = delivered({"action": "edited"}, **{"X-GitHub-Delivery": name})
    # Delivered again by hand, the id is the same.
    assert webhooks.event_id(HOOKS, first) == webhooks.event_id(HOOKS, replace(first, body=b"{}")) == name


@pytest.mark.parametrize(
    ("action", "means"),
    [
        ("opened", "upsert"), ("edited", "upsert"), ("closed", "upsert"), ("reopened", "upsert"),
        ("labeled", "upsert"), ("unassigned", "upsert"), ("deleted", "delete"), ("transferred", "delete"),
    ],
)  # fmt: skip
def test_an_event_names_the_issue_within_its_repository(action: str, means: str) -> None:
    body = {"action": action, "issue": {"number": 12, "title": "x"}, "repository": REPOSITORY}
    assert said(body) == [(means, "octo-org/support/12")]


@pytest.mark.parametrize(
    "body",
    [
        {"zen": "Keep it logically awesome.", "hook_id": 1, "repository": REPOSITORY},
        {"action": "deleted", "issue": {"number": 12}, "comment": {"id": 1}, "repository": REPOSITORY},
        {"action": "opened", "number": 3, "pull_request": {"number": 3}, "repository": REPOSITORY},
        {"action": "edited", "issue": {"number": 3, "pull_request": {}}, "repository": REPOSITORY},
        {"action": "started", "repository": REPOSITORY},
    ],
)
def test_all_other_events_say_nothing(body: dict[str, Any]) -> None:
    assert said(body) == []


def test_the_events_of_a_hook_are_named_for_people() -> None:
    assert "application/json" in str(HOOKS.subscribe.by_hand)
