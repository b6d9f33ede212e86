"""The host's applications at vendors, for operators: without one, nobody can connect by OAuth."""

import uuid

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires_staff, viewer
from app.errors import InvalidError, NotFoundError
from app.extensions import settings
from app.forms.oauth_clients import OAuthClientForm
from app.htmx import go, render, stop_polling
from app.models.endpoints import VERDICTS
from app.services import delivery_log, endpoints, listings, oauth_clients
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction

blueprint = Blueprint("oauth_clients", __name__, url_prefix="/applications")
_SIZE = 25


@blueprint.get("")
@requires_staff("operator")
def index() -> Response:
    return render("oauth_clients/index.html", applications=oauth_clients.list_applications())


@blueprint.get("/<slug>")
@requires_staff("operator")
def show(slug: str) -> Response:
    return _page(slug)


def _page(slug: str, form: OAuthClientForm | None = None, status: int = 200) -> Response:
    application = oauth_clients.get_application(slug)
    row = application.row
    known = {"client_id": row.client_id, "expires_on": row.expires_on} if row else {}
    response = render(
        "oauth_clients/show.html", "oauth_clients/_test.html", status=status, application=application,
        form=form or OAuthClientForm(formdata=None, data=known),
        redirect_uri=f"{settings().base_url}/oauth/callback/{slug}", hook_url=_hook_url(slug),
    )  # fmt: skip
    return response if row and row.test_result == "testing" else stop_polling(response)


@blueprint.get("/<slug>/deliveries")
@requires_staff("operator")
def deliveries(slug: str) -> Response:
    """What came to the address for all accounts and belongs to no customer."""
    application = oauth_clients.get_application(slug)
    verdict = request.args.get("verdict", "")
    verdict = verdict if verdict in VERDICTS else ""
    before = request.args.get("before", type=uuid.UUID)
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        endpoint, version = endpoints.find_shared(slug), listings.get_listing(slug).current_version
        assert version is not None
        manifest = listings.manifest_of(version)
        if manifest.webhooks is None or manifest.webhooks.endpoint != "connector":
            raise NotFoundError("This application has no address for webhooks.")
        lines, counts = [], {}
        # There is one once the secret of the application has been entered.
        if endpoint is not None:
            lines = delivery_log.list_shared(endpoint, manifest, verdict=verdict, before=before, limit=_SIZE + 1)
            counts = delivery_log.count_by_verdict(endpoint)
    return render(
        "oauth_clients/deliveries.html", application=application, lines=lines[:_SIZE], verdict=verdict, counts=counts, open=endpoint is not None,
        older=lines[_SIZE - 1][0].id if len(lines) > _SIZE else None,
    )  # fmt: skip


def _hook_url(slug: str) -> str | None:
    """Return the address for the webhooks of all accounts, where the connector has one."""
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        endpoint = endpoints.find_shared(slug)
        return endpoints.url_of(endpoint.address) if endpoint and endpoint.address else None


@blueprint.post("/<slug>")
@requires_staff("operator")
def save(slug: str) -> Response:
    form = OAuthClientForm()
    if not form.validate_on_submit():
        return _page(slug, form, 422)
    try:
        with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
            oauth_clients.save(slug, str(form.client_id.data).strip(), form.secret.data or "", form.expires_on.data)
    except InvalidError as error:
        form.secret.errors = [error.fields.get("secret", error.message)]
        return _page(slug, form, 422)
    flash("The application is saved. Test it, so that customers do not find out for you.")
    return go(f"/applications/{slug}")


@blueprint.post("/<slug>/check")
@requires_staff("operator")
def check(slug: str) -> Response:
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        oauth_clients.request_test(slug)
    return go(f"/applications/{slug}")


@blueprint.post("/<slug>/remove")
@requires_staff("operator")
def remove(slug: str) -> Response:
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        oauth_clients.remove(slug)
    flash("The application is removed.")
    return go("/applications")
