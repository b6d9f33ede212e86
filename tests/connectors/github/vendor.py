"""A small GitHub: issues of repositories, where every request and every answer is checked against GitHub's own document."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from tests.connectors.sdk.servers import Answer, Call

DATE = "Tue, 24 Nov 2026 09:00:00 GMT"
MEDIA = "application/vnd.github+json"


def document() -> dict[str, Any]:
    """Return GitHub's OpenAPI document; skips where it is not at hand."""
    folder = os.environ.get("PATCHBAY_SPECS")
    file = Path(folder or "/nowhere") / "github.issues.json"
    if not file.is_file():
        pytest.skip(
            "GitHub's OpenAPI document is needed: put github.issues.json into a folder and name it in PATCHBAY_SPECS"
        )
    return dict(json.loads(file.read_text()))


class GitHub:
    """Answers calls; `faults` are taken first, `before_page` is called before each page of a list."""

    def __init__(self, spec: dict[str, Any], api: OpenAPI) -> None:
        self._example = spec["components"]["examples"]["issue"]["value"]
        self._api = api
        self.repositories: dict[str, list[dict[str, Any]]] = {}
        self.faults: list[Answer] = []
        self.wrong: list[str] = []
        self.before_page: Callable[[int], None] = lambda _number: None
        self.checked = 0

    def add(self, repository: str, number: int, *, pull: bool = False, **changes: Any) -> dict[str, Any]:
        """Add an issue, made of the example in GitHub's document."""
        issue = copy.deepcopy(self._example)
        at = f"2026-{1 + number // 27 % 12:02}-{1 + number % 27:02}T08:00:{number % 60:02}Z"
        issue |= {"number": number, "id": 1000 + number, "title": f"Issue {number}", "created_at": at, "updated_at": at}
        issue.pop("pull_request", None)
        if pull:
            issue["pull_request"] = dict.fromkeys(("url", "html_url", "diff_url", "patch_url"), f"https://github.com/{repository}/pull/{number}")  # fmt: skip
        issue |= changes
        self.repositories.setdefault(repository, []).append(issue)
        return issue

    def __call__(self, call: Call) -> Answer:
        path = self._named(call.path)
        answer = self.faults.pop(0) if self.faults else self._answer(call, path)
        self._check(call, path, answer)
        status, headers, body = answer
        return status, {"Date": DATE, "Content-Type": "application/json; charset=utf-8", **headers}, body

    def _named(self, path: str) -> str:
        # A link to the next page names the repository by its number, as GitHub's do.
        for number, name in enumerate(self.repositories):
            path = path.replace(f"/repositories/{number}/", f"/repos/{name}/")
        return path

    def _check(self, call: Call, path: str, answer: Answer) -> None:
        if call.headers.get("accept") != MEDIA or call.headers.get("x-github-api-version") != "2022-11-28":
            self.wrong.append(f"{path}: the headers of the API are missing")
        if not path.startswith("/repos/"):
            return
        kind = call.headers.get("content-type", "application/json")
        asked = MockRequest(
            "https://api.github.com", call.method.lower(), path, args=call.query, headers=call.headers,
            data=call.body or None, content_type=kind,
        )  # fmt: skip
        told = MockResponse(orjson.dumps(answer[2]), status_code=answer[0], content_type="application/json")
        try:
            self._api.validate_request(asked)
            if answer[0] < 300:
                self._api.validate_response(asked, told)
            self.checked += 1
        except OpenAPIError as error:
            self.wrong.append(f"{call.method} {path}: {error!r} {error.__cause__!r}")

    def _answer(self, call: Call, path: str) -> Answer:
        if path == "/user":
            return 200, {}, {"id": 583231, "login": "octocat"}
        parts = path.strip("/").split("/")
        issues = self.repositories.get("/".join(parts[1:3]))
        if parts[0] != "repos" or issues is None:
            return (
                404,
                {},
                {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"},
            )
        if call.method == "GET" and len(parts) == 4:
            return self._list(call, issues, list(self.repositories).index("/".join(parts[1:3])))
        if call.method == "POST":
            made = {**json.loads(call.body), "state": "open", "labels": _labels(json.loads(call.body))}
            return 201, {}, self.add("/".join(parts[1:3]), 1 + max((i["number"] for i in issues), default=0), **made)
        found = next((issue for issue in issues if str(issue["number"]) == parts[4]), None)
        if found is None:
            return 404, {}, {"message": "Not Found"}
        if call.method == "PATCH":
            sent = json.loads(call.body)
            found |= sent | ({"labels": _labels(sent)} if "labels" in sent else {})
        return 200, {}, found

    def _list(self, call: Call, issues: list[dict[str, Any]], repository: int) -> Answer:
        query, number = call.query, int(call.query.get("page", 1))
        self.before_page(number)
        found = [i for i in issues if i["updated_at"] >= query.get("since", "")]
        found = [i for i in found if query.get("state", "open") in ("all", i["state"])]
        found.sort(
            key=lambda i: i[f"{query.get('sort', 'created')}_at"], reverse=query.get("direction", "desc") == "desc"
        )
        size = int(query.get("per_page", 30))
        headers = {}
        if len(found) > number * size:
            onward = f"http://{call.headers['host']}/repositories/{repository}/issues?{urlencode({**query, 'page': number + 1})}"
            headers["Link"] = f'<{onward}>; rel="next", <{onward}>; rel="last"'
        return 200, headers, found[(number - 1) * size : number * size]


def _labels(sent: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": n, "name": str(name), "color": "ededed"} for n, name in enumerate(sent.get("labels") or [])]
