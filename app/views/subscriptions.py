"""Subscriptions to events with their dispatch log: a tenant's own, and (host_subscriptions.py) those of the host."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError
from app.event_types import NOUNS, TEST, TYPES
from app.forms.refusals import refuse
from app.forms.subscriptions import SubscriptionForm
from app.htmx import go, render, stop_polling
from app.services import dispatch_claims, dispatches, object_types, signing_secrets, subscriptions
from app.services.dispatches import Selection
from app.services.subscriptions import Wish
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.views.replays import pretty, selection_of

_SIZE = 50
View = Callable[..., Any]


@dataclass(frozen=True)
class Place:
    """Whose subscriptions a page is about, and under which address."""

    address: str
    tenant_of: Callable[[], uuid.UUID]
    host: bool = False

    @contextmanager
    def bound(self) -> Iterator[uuid.UUID]:
        """Bind the tenant of this place in a transaction, and return its id."""
        tenant_id = self.tenant_of()
        with bind_tenant(tenant_id, viewer().user.id), transaction():
            yield tenant_id


def add_routes(blueprint: Blueprint, place: Place, guard: Callable[[View], View]) -> None:
    """Add the pages of a place, each behind `guard`."""
    one = "/<uuid:subscription_id>"
    pages: list[tuple[str, str, View]] = [
        ("GET", "", _index), ("GET", "/new", _new), ("POST", "/new", _create), ("GET", one, _show),
        ("GET", f"{one}/edit", _edit), ("POST", f"{one}/edit", _change), ("POST", f"{one}/rotate", _rotate),
        ("POST", f"{one}/test", _test), ("POST", f"{one}/disable", _disable), ("POST", f"{one}/enable", _enable),
        ("POST", f"{one}/remove", _remove), ("GET", f"{one}/replay", _choose_replay), ("POST", f"{one}/replay", _replay),
        ("GET", f"{one}/dispatches/<uuid:dispatch_id>", _dispatch),
        ("POST", f"{one}/dispatches/<uuid:dispatch_id>/replay", _replay_one),
    ]  # fmt: skip
    for method, rule, view in pages:
        name = view.__name__.removeprefix("_")
        blueprint.add_url_rule(rule, name, guard(_at(place, view)), methods=[method])


def _at(place: Place, view: View) -> View:
    def placed(**values: Any) -> Any:
        return view(place, **values)

    placed.__name__ = view.__name__
    return placed


def _index(place: Place) -> Response:
    before = request.args.get("before", type=uuid.UUID)
    with place.bound() as tenant_id:
        found = subscriptions.list_subscriptions(tenant_id, before=before, limit=_SIZE + 1)
        counts = dispatches.count_by_state(tenant_id, [row.id for row in found])
        off = subscriptions.list_switched_off(tenant_id)
    return render(
        "subscriptions/index.html", place=place, rows=found[:_SIZE], counts=counts, off=off,
        older=found[_SIZE - 1].id if len(found) > _SIZE else None,
    )  # fmt: skip


def _resting(row: Any) -> Any:
    """Return until when the endpoint is left alone, None when it is not."""
    breaker = dispatch_claims.breaker_of(row)
    return breaker.open_until if breaker.state != "closed" else None


def _form_page(place: Place, form: SubscriptionForm, row: Any = None, message: str = "", status: int = 200) -> Response:
    kinds = object_types.list_object_types()
    nouns = [(noun, [kind for name, kind in TYPES.items() if name.startswith(f"{noun}.")]) for noun in NOUNS]
    return render(
        "subscriptions/edit.html", place=place, form=form, row=row, nouns=nouns, kinds=kinds, message=message,
        status=status, test=TEST,
    )  # fmt: skip


def _new(place: Place) -> Response:
    return _form_page(place, SubscriptionForm(formdata=None))


def _wish(form: SubscriptionForm) -> Wish:
    return Wish(
        form.name.data or "", form.url.data or "", form.types.data or (), form.object_types.data or (), form.field_names
    )


def _refused(place: Place, form: SubscriptionForm, error: AppError, row: Any = None) -> Response:
    return _form_page(place, form, row, refuse(form, error), error.status)


def _create(place: Place) -> Response:
    form = SubscriptionForm()
    if not form.validate_on_submit():
        return _form_page(place, form, status=422)
    try:
        with place.bound() as tenant_id:
            made, secret = subscriptions.create(tenant_id, _wish(form), user_id=viewer().user.id)
    except AppError as error:
        return _refused(place, form, error)
    return _page(place, made.id, secret=secret)


def _edit(place: Place, subscription_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        row = subscriptions.get_subscription(tenant_id, subscription_id)
    known = {name: getattr(row, name) for name in ("name", "url", "types", "object_types")}
    return _form_page(place, SubscriptionForm(formdata=None, data={**known, "fields": ", ".join(row.fields)}), row)


def _change(place: Place, subscription_id: uuid.UUID) -> Response:
    form = SubscriptionForm()
    with place.bound() as tenant_id:
        row = subscriptions.get_subscription(tenant_id, subscription_id)
    if not form.validate_on_submit():
        return _form_page(place, form, row, status=422)
    try:
        with place.bound() as tenant_id:
            subscriptions.change(tenant_id, subscription_id, _wish(form))
    except AppError as error:
        return _refused(place, form, error, row)
    flash("The subscription is saved.")
    return go(f"{place.address}/{subscription_id}")


def _show(place: Place, subscription_id: uuid.UUID) -> Response:
    return _page(place, subscription_id)


def _page(
    place: Place, subscription_id: uuid.UUID, *, secret: str = "", message: str = "", status: int = 200
) -> Response:
    state, kind = request.args.get("state", ""), request.args.get("type", "")
    before = request.args.get("before", type=uuid.UUID)
    with place.bound() as tenant_id:
        row = subscriptions.get_subscription(tenant_id, subscription_id)
        found = dispatches.list_dispatches(
            tenant_id, subscription_id, state=state if state in dispatches.STATES else "",
            type=kind if kind in TYPES else "", before=before, limit=_SIZE + 1,
        )  # fmt: skip
        counts = dispatches.count_by_state(tenant_id, [subscription_id])
        old_until = signing_secrets.old_until(row)
    live = not before and any(item.state == "sending" or item.attempts == 0 for item in found if item.state != "failed")
    response = render(
        "subscriptions/show.html", "subscriptions/_log.html", status=status, place=place, row=row, rows=found[:_SIZE],
        older=found[_SIZE - 1].id if len(found) > _SIZE else None, counts=counts, state=state, kind=kind, types=TYPES,
        old_until=old_until, secret=secret, message=message, resting=_resting(row), live=live and row.state == "active",
    )  # fmt: skip
    return response if live else stop_polling(response)


def _rotate(place: Place, subscription_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        secret = subscriptions.rotate(tenant_id, subscription_id)
    return _page(place, subscription_id, secret=secret)


def _test(place: Place, subscription_id: uuid.UUID) -> Response:
    try:
        with place.bound() as tenant_id:
            dispatch_id = subscriptions.send_test(tenant_id, subscription_id)
    except AppError as error:
        if error.status == 404:
            raise
        return _page(place, subscription_id, message=error.message, status=error.status)
    return go(f"{place.address}/{subscription_id}/dispatches/{dispatch_id}")


def _disable(place: Place, subscription_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        subscriptions.disable(tenant_id, subscription_id)
    flash("The subscription is switched off.")
    return go(f"{place.address}/{subscription_id}")


def _enable(place: Place, subscription_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        subscriptions.enable(tenant_id, subscription_id)
    flash("The subscription is switched on. It hears of what happens from now on.")
    return go(f"{place.address}/{subscription_id}")


def _remove(place: Place, subscription_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        subscriptions.remove(tenant_id, subscription_id)
    flash("The subscription is removed.")
    return go(place.address)


def _dispatch(place: Place, subscription_id: uuid.UUID, dispatch_id: uuid.UUID) -> Response:
    with place.bound() as tenant_id:
        row = subscriptions.get_subscription(tenant_id, subscription_id)
        item = dispatches.get_dispatch(tenant_id, subscription_id, dispatch_id)
        tries = dispatches.list_attempts(tenant_id, dispatch_id)
    live = row.state == "active" and (item.state == "sending" or (item.state == "pending" and item.tries == 0))
    response = render(
        "subscriptions/dispatch.html", "subscriptions/_dispatch.html", place=place, row=row, item=item, tries=tries,
        body=pretty(item.body), live=live, resting=_resting(row),
    )  # fmt: skip
    return response if live else stop_polling(response)


def _replay_one(place: Place, subscription_id: uuid.UUID, dispatch_id: uuid.UUID) -> Response:
    try:
        with place.bound() as tenant_id:
            dispatches.replay(tenant_id, subscription_id, Selection(ids=(dispatch_id,)))
    except AppError as error:
        if error.status == 404:
            raise
        return _page(place, subscription_id, message=error.message, status=error.status)
    return go(f"{place.address}/{subscription_id}/dispatches/{dispatch_id}")


def _choose_replay(place: Place, subscription_id: uuid.UUID) -> Response:
    return _replay_page(place, subscription_id)


def _replay_page(place: Place, subscription_id: uuid.UUID, message: str = "", status: int = 200) -> Response:
    which, wrong = selection_of(request.values, viewer())
    with place.bound() as tenant_id:
        row = subscriptions.get_subscription(tenant_id, subscription_id)
        count = None if wrong else dispatches.count_replay(tenant_id, subscription_id, which)
    return render(
        "subscriptions/replay.html", status=422 if wrong else status, place=place, row=row, which=which, count=count,
        values=request.values, message=wrong or message, types=TYPES,
    )  # fmt: skip


def _replay(place: Place, subscription_id: uuid.UUID) -> Response:
    which, wrong = selection_of(request.values, viewer())
    if wrong:
        return _replay_page(place, subscription_id)
    try:
        with place.bound() as tenant_id:
            count = dispatches.replay(tenant_id, subscription_id, which)
    except AppError as error:
        if error.status == 404:
            raise
        return _replay_page(place, subscription_id, error.message, error.status)
    flash(f"{count:,} {'event is' if count == 1 else 'events are'} sent again.")
    return go(f"{place.address}/{subscription_id}")


blueprint = Blueprint("subscriptions", __name__, url_prefix="/subscriptions")
add_routes(blueprint, Place("/subscriptions", lambda: viewer().tenant_id), requires("admin"))
