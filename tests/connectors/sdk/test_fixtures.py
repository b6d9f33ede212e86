"""Fixtures answer exactly what was asked, and a recording holds no secret and no person."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.sdk import Checkpoint, ConfigError, EgressError
from connectors.sdk.fixtures import Fixture, FixtureError, Replay, load_fixtures
from connectors.sdk.recording import Recorder, redact
from tests.connectors.sdk.manifests import CANARY, make_connector, make_session
from tests.connectors.sdk.servers import ALLOW, Call, Vendor


def write(folder: Path, name: str = "one.json", **changes: Any) -> list[Fixture]:
    request = {"method": "POST", "path": "/a b/1", "query": {"limit": 2, "tag": ["x", "y"]}, "body": {"n": 1}}
    data = {
        "name": "one",
        "verified": "by hand",
        "request": {**request, **changes},
        "response": {"status": 200, "body": {"ok": 1}},
    }
    (folder / name).write_bytes(orjson.dumps(data))
    return list(load_fixtures(folder).exchanges)


def ask(fixtures: list[Fixture], **changes: Any) -> Any:
    http = Replay(["acme.test"], fixtures=fixtures, secrets=[CANARY])
    asked: dict[str, Any] = {"params": {"limit": 2, "tag": ["x", "y"], "key": CANARY}, "json": {"n": 1}, "headers": {}}
    method, url = changes.pop("method", "POST"), changes.pop("url", "https://acme.test/a%20b/1")
    return http.request(method, url, **{**asked, **changes}).json()


def test_the_fixture_of_a_request_answers_it(tmp_path: Path) -> None:
    assert ask(write(tmp_path)) == {"ok": 1}
    assert ask(write(tmp_path, headers={"If-Match": '"7"'}), headers={"if-match": '"7"'}) == {"ok": 1}
    assert ask(write(tmp_path, body=None, form={"a": "1"}), json=None, data={"a": "1"}) == {"ok": 1}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"method": "PUT"}, "method"), ({"url": "https://acme.test/a%20b/2"}, "path '/a b/1'"),
        ({"params": {"limit": 3, "tag": ["x", "y"]}}, "query"), ({"params": {"limit": 2}}, "query"),
        ({"json": {"n": 2}}, "body {'n': 1}"), ({"json": None}, "body"),
    ],
)  # fmt: skip
def test_another_request_fails_and_is_told_the_difference(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(FixtureError, match="There is no fixture for") as error:
        ask(write(tmp_path), **changes)
    assert word in str(error.value)
    assert "one.json: one" in str(error.value)
    assert CANARY not in str(error.value)


def test_a_header_that_a_fixture_names_has_to_be_sent(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="headers"):
        ask(write(tmp_path, headers={"If-Match": '"7"'}), headers={"if-match": '"8"'})


def test_replay_keeps_the_guard_of_the_client(tmp_path: Path) -> None:
    with pytest.raises(EgressError):
        ask(write(tmp_path), url="https://other.test/a%20b/1")
    with pytest.raises(ConfigError):
        ask(write(tmp_path), headers={"x": "a\r\nb"})


def test_equal_requests_are_answered_in_order_the_last_for_ever(tmp_path: Path) -> None:
    for number in (1, 2):
        data = {
            "name": str(number), "verified": "by hand", "request": {"method": "GET", "path": "/"},
            "response": {"status": 200, "body": {"n": number}},
        }  # fmt: skip
        (tmp_path / f"{number}.json").write_bytes(orjson.dumps(data))
    http = Replay(["acme.test"], fixtures=load_fixtures(tmp_path).exchanges)
    assert [http.request("GET", "https://acme.test/").json()["n"] for _ in range(3)] == [1, 2, 2]


@pytest.mark.parametrize(
    "text", ["{", '{"name": "x"}', "[1]", '{"name": "x", "verified": "", "request": {}, "response": {}}']
)
def test_a_file_that_is_no_fixture_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(FixtureError, match=r"bad\.json"):
        load_fixtures(tmp_path)


def test_a_recording_is_replayed_and_holds_no_secret(tmp_path: Path, start: Callable[[Any], Any]) -> None:
    person = "grace.hopper@navy.example.mil"

    def answer(call: Call) -> Any:
        body = {"data": [{"id": 1, "email": person, "api_key": "k-123456", "note": f"key {CANARY}"}], "next": None}
        return 200, {"ETag": '"7"', "Set-Cookie": "session=abc", "X-Trace": "1"}, body

    vendor = start(Vendor(answer))
    connector = make_connector(auth={"kind": "api_key", "field": "key", "parameter": "api_key", "place": "query"})
    session = make_session(connector, vendor.origin)
    recorder = Recorder(connector.hosts(session.settings), allow=ALLOW, secrets=[CANARY], verified="live")
    page = connector.read(replace(session, http=recorder), "contacts", Checkpoint.start("full", None))
    assert [record.data["email"] for record in page.records] == [person]
    (file,) = recorder.write(tmp_path, "contacts", keep_first=1, records="data")
    text = file.read_text()
    assert vendor.calls[0].query["api_key"] == CANARY
    for word in (CANARY, person, "k-123456", "session=abc", "X-Trace"):
        assert word not in text
    assert '"7"' in orjson.loads(text)["response"]["headers"]["etag"]
    replay = Replay(recorder.hosts, fixtures=load_fixtures(tmp_path).exchanges, secrets=[CANARY])
    again = connector.read(replace(session, http=replay), "contacts", Checkpoint.start("full", None))
    assert [record.id for record in again.records] == ["1"]


def test_what_is_redacted() -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
    assert redact({"access_token": "a", "next_page_token": "b", "secret": None, "token": "c"}) == {
        "access_token": "[redacted]", "next_page_token": "b", "secret": None, "token": "c",
    }  # fmt: skip
    assert redact([jwt, "ghp_" + "a" * 36, "a@example.test", "plain"])[0] == "[redacted]"
    one, two = redact(["Ada@Real.org writes to ada@real.org", "ada@real.org"])
    assert one == f"{two} writes to {two}"
    assert two.endswith("@example.test")
