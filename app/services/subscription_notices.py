"""Notices about subscriptions and destinations that were switched off without a person's doing."""

import uuid

from sqlalchemy import select

from app.db import db
from app.models.accounts import Membership, StaffRole, User
from app.models.destinations import Destination
from app.models.events import Subscription
from app.services import mails
from app.tenancy import PLATFORM_TENANT

_MOST = 20
_WHY = {
    "gone": "Its endpoint answered 410, which means that it wants no more events.",
    "failing": "Every attempt to send it an event has failed for five days.",
}


def tell(subscription: Subscription) -> None:
    """Write to the admins of the tenant, or the host's operators, that events are no longer sent, and why."""
    host = subscription.tenant_id == PLATFORM_TENANT
    for address in _addresses(subscription.tenant_id):
        mails.send(
            subscription.tenant_id, address, f"Events are no longer sent to {subscription.name}", "subscription_off",
            name=subscription.name, url=subscription.url.split("?")[0], why=_WHY[subscription.disabled_code or "failing"],
            path=f"{'/host/subscriptions' if host else '/subscriptions'}/{subscription.id}",
        )  # fmt: skip


def tell_destination(destination: Destination) -> None:
    """Write to the admins of the tenant that messages are no longer sent to a destination, and why."""
    why = {"gone": _WHY["gone"].replace("events", "messages"), "failing": "Every message has failed for five days."}
    for address in _addresses(destination.tenant_id):
        mails.send(
            destination.tenant_id, address, f"Messages are no longer sent to {destination.name}", "destination_off",
            name=destination.name, host=destination.host, why=why[destination.disabled_code or "failing"],
            path=f"/notifications/{destination.id}",
        )  # fmt: skip


def _addresses(tenant_id: uuid.UUID) -> list[str]:
    if tenant_id == PLATFORM_TENANT:
        query = select(User.email).join(StaffRole, StaffRole.user_id == User.id).where(StaffRole.role == "operator")
    else:
        query = (
            select(User.email)
            .join(Membership, Membership.user_id == User.id)
            .where(Membership.tenant_id == tenant_id, Membership.role.in_(("owner", "admin")))
        )
    return list(db.session.scalars(query.order_by(User.id).limit(_MOST)))
