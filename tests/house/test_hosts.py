"""A Host header of somebody else is refused, and so is every origin but our own."""

from flask import Flask


def test_a_foreign_host_header_is_refused(apps: dict[str, Flask], clean: None) -> None:
    client = apps["web"].test_client()
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost"}).status_code == 200


def test_a_null_origin_is_refused(apps: dict[str, Flask], clean: None) -> None:
    client = apps["web"].test_client()
    assert client.post("/sign-up", headers={"Origin": "null"}).status_code in (400, 403)
