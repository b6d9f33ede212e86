"""Static files: addresses, caching, and what the content security policy forbids."""

import gzip
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.assets import asset_url
from app.extensions import ROOT
from app.filters import RUN_STATE, STATUS

STATIC, TEMPLATES = ROOT / "static", ROOT / "templates"


def _pages() -> list[tuple[str, str]]:
    return [(str(file.relative_to(TEMPLATES)), file.read_text()) for file in TEMPLATES.rglob("*.html")]


def _url(app: Flask, name: str) -> str:
    with app.test_request_context():
        return asset_url(name)


def test_the_address_carries_the_hash_and_may_be_kept_for_ever(app: Flask, client: FlaskClient) -> None:
    answer = client.get(_url(app, "css/app.css"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.content_type.startswith("text/css")


def test_an_address_without_the_hash_is_asked_again(client: FlaskClient) -> None:
    first = client.get("/static/css/app.css?v=old")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/css/app.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_text_is_sent_compressed_to_those_who_take_it(client: FlaskClient) -> None:
    plain = client.get("/static/js/app.js").data
    zipped = client.get("/static/js/app.js", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain
    assert len(zipped.data) < len(plain)


@pytest.mark.parametrize("name", ["../wsgi.py", "%2e%2e/wsgi.py", "build.py", "css", "css/none.css", "/etc/passwd"])
def test_nothing_else_is_sent(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code in (308, 404)


def test_every_file_that_a_template_or_style_sheet_names_is_there() -> None:
    names = {name for _, text in _pages() for name in re.findall(r"asset_url\(['\"]([^'\"]+)", text)}
    assert "css/app.css" in names
    assert [name for name in names if not (STATIC / name).is_file()] == []
    for sheet in (STATIC / "css").glob("*.css"):
        for target in re.findall(r"url\(\"?([^\")]+)", sheet.read_text()):
            assert (sheet.parent / target).resolve().is_file(), f"{sheet.name} names {target}"


def test_every_icon_in_use_is_in_the_sprite() -> None:
    there = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons/sprite.svg").read_text()))
    used = {name for _, text in _pages() for name in re.findall(r"icon\(\"([\w-]+)\"", text)}
    used |= {look[1] for look in [*STATUS.values(), *RUN_STATE.values()]}
    assert used - there == set()


def test_nothing_needs_more_than_our_content_security_policy_allows() -> None:
    for name, text in _pages():
        if name.startswith("emails/"):
            continue
        assert not re.search(r"<[a-z][^>]*\sstyle=", text), f"{name} has an inline style"
        assert not re.search(r"<[a-z][^>]*\son[a-z]+=", text), f"{name} has an inline handler"
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), f"{name} has an inline script"
        assert "hx-on" not in text, f"{name} needs eval"
    for sheet in [*(STATIC / "css").glob("*.css"), *(STATIC / "vendor").glob("*.css")]:
        assert "data:" not in sheet.read_text(), f"{sheet.name} has a data: image"
