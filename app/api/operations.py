"""An operation of the API: what it needs, what it answers, and all that goes around it.

A view gets its path values, and `query` and `body` when it declares them. Operations that write run in one
transaction, with the row of their Idempotency-Key first.
"""

import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import orjson
from flask import Blueprint, Response, g, make_response, request
from pydantic import BaseModel, ValidationError

from app.api import gate, paging
from app.api.errors import ApiError
from app.errors import NotFoundError
from app.extensions import csrf
from app.services import idempotency
from app.tenancy import bind_tenant
from app.transaction import transaction

SAFE = ("GET", "HEAD")
OPERATIONS: list["Operation"] = []
View = TypeVar("View", bound=Callable[..., Any])
_MOST_KEY = 255


@dataclass(frozen=True)
class Operation:
    """One method of one address, as the document shows it."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    scope: str
    answer: type[BaseModel] | None
    status: int
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    # Without a tenant: what belongs to the deployment.
    tenant: bool
    host_only: bool
    if_match: bool
    also: tuple[int, ...]
    own_transaction: bool
    # About the key itself: acts in the tenant that the key belongs to, whatever tenant is named.
    owner: bool


@dataclass(frozen=True)
class Reply:
    """An answer with more than its model."""

    model: BaseModel | None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Noun:
    """The operations of one noun, and their blueprint."""

    def __init__(self, name: str, title: str, about: str) -> None:
        self.title, self.about = title, about
        self.blueprint = Blueprint(f"api_{name}", f"app.api.{name}", url_prefix=gate.PREFIX)
        # A key is sent on purpose; a browser adds none by itself.
        csrf.exempt(self.blueprint)
        NOUNS.append(self)

    def get(self, path: str, **more: Any) -> Callable[[View], View]:
        """Declare a read."""
        return self._operation("GET", path, **more)

    def post(self, path: str, **more: Any) -> Callable[[View], View]:
        """Declare what makes or does something."""
        return self._operation("POST", path, **more)

    def put(self, path: str, **more: Any) -> Callable[[View], View]:
        """Declare what makes or replaces a thing at its address."""
        return self._operation("PUT", path, **more)

    def patch(self, path: str, **more: Any) -> Callable[[View], View]:
        """Declare a change."""
        return self._operation("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> Callable[[View], View]:
        """Declare an end."""
        return self._operation("DELETE", path, **more)

    def _operation(
        self, method: str, path: str, *, scope: str, answer: type[BaseModel] | None, status: int = 200,
        query: type[BaseModel] | None = None, body: type[BaseModel] | None = None, tenant: bool = True,
        host_only: bool = False, if_match: bool = False, also: tuple[int, ...] = (),
        own_transaction: bool = False, owner: bool = False,
    ) -> Callable[[View], View]:  # fmt: skip
        def declare(view: View) -> View:
            summary, _, rest = inspect.cleandoc(view.__doc__ or "").partition("\n")
            made = Operation(
                view.__name__, method, path, self.title, summary.rstrip("."), rest.strip(), scope, answer, status, query,
                body, tenant, host_only, if_match, also, own_transaction, owner,
            )  # fmt: skip
            OPERATIONS.append(made)

            @wraps(view)
            def called(**values: Any) -> Response:
                return _call(made, view, values)

            called.access = f"key:{scope}"  # type: ignore[attr-defined]  # read by the privilege matrix test
            self.blueprint.add_url_rule(path, view_func=called, methods=[method])
            return view

        return declare


NOUNS: list[Noun] = []


def _call(made: Operation, view: Callable[..., Any], values: dict[str, Any]) -> Response:
    who = gate.caller()
    if made.host_only and not who.host:
        raise ApiError(403, "forbidden", "Only a key of the host may do this.")
    if made.scope:
        who.demand(made.scope)
    if made.tenant:
        _ = who.tenant_id
    if any(isinstance(value, str) and "\x00" in value for value in values.values()):
        raise NotFoundError
    if made.query is not None:
        values["query"] = _read_query(made.query)
    if made.body is not None:
        values["body"] = _read_body(made.body)
    if made.owner:
        g.stack.enter_context(bind_tenant(who.owner_id))
    if made.method in SAFE or made.own_transaction:
        return _answer(made, view(**values))
    key = request.headers.get("Idempotency-Key") if made.method == "POST" else None
    if key is None:
        with transaction():
            return _answer(made, view(**values))
    tenant_id = who.owner_id if made.owner else who.tenant or who.owner_id
    return _once(made, view, values, _asked(who, tenant_id, key))


def _asked(who: gate.Caller, tenant_id: uuid.UUID, key: str) -> idempotency.Asked:
    gate.check_header("Idempotency-Key", _MOST_KEY)
    asks = b"\n".join((request.method.encode(), request.full_path.encode(), request.get_data()))
    return idempotency.Asked(tenant_id, who.key_id, key, asks, who.secret)


def _once(made: Operation, view: Callable[..., Any], values: dict[str, Any], asked: idempotency.Asked) -> Response:
    with transaction():
        before = idempotency.claim(asked)
        if before is None:
            response = _answer(made, view(**values))
            kept = {name: response.headers[name] for name in ("ETag", "Location") if name in response.headers}
            idempotency.keep(asked, response.status_code, orjson.dumps([kept, response.get_data(as_text=True)]))
            return response
    headers, body = orjson.loads(before[1])
    response = _made(body.encode(), before[0])
    response.headers.update(headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _answer(made: Operation, found: BaseModel | Reply | None) -> Response:
    reply = found if isinstance(found, Reply) else Reply(found)
    body = reply.model.model_dump_json(by_alias=True).encode() if reply.model is not None else b""
    response = _made(body, reply.status or made.status)
    response.headers.update(reply.headers)
    if made.method in SAFE:
        etag = response.headers.setdefault("ETag", paging.etag_of(body))
        if paging.is_known(etag):
            response.status_code = 304
            response.set_data(b"")
    return response


def _made(body: bytes, status: int) -> Response:
    response = make_response(body, status)
    response.content_type = "application/json"
    if not body:
        del response.headers["Content-Type"]
    return response


def _read_query(model: type[BaseModel]) -> BaseModel:
    given: dict[str, Any] = {}
    for name, texts in request.args.lists():
        if len(texts) > 1:
            raise ApiError(400, "invalid_parameter", f"{name} is given more than once.", {name: "given more than once"})
        if "\x00" in name or "\x00" in texts[0]:
            raise ApiError(400, "invalid_parameter", "A parameter holds a NUL character.")
        given[name] = texts[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = {".".join(str(part) for part in issue["loc"]): issue["msg"] for issue in error.errors()}
        raise ApiError(400, "invalid_parameter", "; ".join(f"{k}: {v}" for k, v in wrong.items()), wrong) from None


def _read_body(model: type[BaseModel]) -> BaseModel:
    if request.mimetype != "application/json":
        raise ApiError(415, "unsupported_media_type", "Send the body as application/json.")
    try:
        given = orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        raise ApiError(400, "invalid_json", "The body is not JSON.") from None
    if _holds_nul(given):
        raise ApiError(422, "invalid", "A text in the body holds a NUL character.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = {"/" + "/".join(str(part) for part in issue["loc"]): issue["msg"] for issue in error.errors()}
        raise ApiError(422, "invalid", "; ".join(f"{k}: {v}" for k, v in list(wrong.items())[:5]), wrong) from None


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_holds_nul(inner) for inner in value)
