"""E-mail: rendered and sealed by whoever causes it, sent by a worker."""

import uuid
from typing import Any

import orjson
from flask import current_app, render_template

from app.clock import now
from app.crypto import Seal
from app.db import db
from app.ids import new_id
from app.models.mails import Mail
from app.services import tasks
from app.services.credentials import ring
from app.tenancy import scoped


def send(tenant_id: uuid.UUID, recipient: str, subject: str, template: str, **context: Any) -> None:
    """Queue a message; `template` names emails/<template>.txt and .html. The body is sealed: it may hold a link."""
    settings = current_app.extensions["settings"]
    context |= {"base_url": settings.base_url, "host_name": settings.host_name, "subject": subject}
    body = {kind: render_template(f"emails/{template}.{kind}", **context) for kind in ("txt", "html")}
    mail_id = new_id()
    sealed = ring().seal("token", orjson.dumps(body), Seal(tenant_id, mail_id, "body", 1))
    db.session.add(
        Mail(
            tenant_id=tenant_id, id=mail_id, recipient=recipient, subject=subject, template=template, body_sealed=sealed
        )
    )
    tasks.add_task(tenant_id, "send", "send_mail", str(mail_id), ref=mail_id, max_attempts=8)


def open_mail(tenant_id: uuid.UUID, mail_id: uuid.UUID) -> tuple[Mail, dict[str, str]] | None:
    """Return a waiting message with its body, None when it has been sent. Workers only."""
    mail = db.session.scalar(scoped(Mail, tenant_id).where(Mail.id == mail_id, Mail.state == "waiting"))
    if mail is None or mail.body_sealed is None:
        return None
    body = orjson.loads(ring().open("token", mail.body_sealed, Seal(tenant_id, mail_id, "body", 1)))
    return mail, body


def mark_sent(tenant_id: uuid.UUID, mail_id: uuid.UUID) -> None:
    """The message has left; its body is forgotten."""
    mail = db.session.scalars(scoped(Mail, tenant_id).where(Mail.id == mail_id)).one()
    mail.state, mail.sent_at, mail.body_sealed = "sent", now(), None
