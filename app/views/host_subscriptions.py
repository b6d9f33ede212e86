"""The host's own subscriptions, for operators: they hear of all tenants."""

from flask import Blueprint

from app.access import requires_staff
from app.tenancy import PLATFORM_TENANT
from app.views.subscriptions import Place, add_routes

blueprint = Blueprint("host_subscriptions", __name__, url_prefix="/host/subscriptions")
add_routes(blueprint, Place("/host/subscriptions", lambda: PLATFORM_TENANT, host=True), requires_staff("operator"))
