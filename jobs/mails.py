"""The mail task: by SMTP to the operator's server, or into the mailbox folder in development."""

import smtplib
import ssl
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from flask import current_app

from app import log
from app.clock import now
from app.config import Settings
from app.services import accounts, mails, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import outside, transaction
from jobs.drain import Slice

_SECONDS = 20
_WITHOUT_SERVER = timedelta(minutes=5)
_logger = log.logger(__name__)


def send_mail(task: LeasedTask, _slice: Slice) -> Outcome:
    """Send one message; a server that is down is tried again with backoff."""
    assert task.ref is not None
    settings: Settings = current_app.extensions["settings"]
    with transaction():
        tasks.fence(task)
        opened = mails.open_mail(task.tenant_id, task.ref)
        if opened is None:
            return Done()
        mail, body = opened
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = settings.mail_from, mail.recipient, mail.subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(idstring=str(mail.id), domain="patchbay")
    message.set_content(body["txt"])
    message.add_alternative(body["html"], subtype="html")
    with outside():
        if settings.smtp_url.get_secret_value():
            _smtp(settings.smtp_url.get_secret_value(), message)
        elif settings.mailbox_dir:
            settings.mailbox_dir.mkdir(parents=True, exist_ok=True)
            (settings.mailbox_dir / f"{task.ref}.eml").write_bytes(bytes(message))
        else:
            # Not parked: nobody would take it up again. It leaves once there is a server, or goes with old mail.
            _logger.warning("e-mail waits: set PATCHBAY_SMTP_URL")
            return Again(now() + _WITHOUT_SERVER)
    with transaction():
        tasks.fence(task)
        mails.mark_sent(task.tenant_id, task.ref)
    return Done()


def send_reset(task: LeasedTask, _slice: Slice) -> Outcome:
    """Make the link for a new password and queue its mail; an address without an account ends here."""
    assert task.ref is not None
    with bind_tenant(task.tenant_id, task.ref), transaction():
        tasks.fence(task)
        user = accounts.find_by_id(task.ref)
        if user is not None:
            accounts.send_reset(user)
    return Done()


def _smtp(url: str, message: EmailMessage) -> None:
    parts = urlsplit(url)
    context, host = ssl.create_default_context(), parts.hostname or "localhost"
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=_SECONDS)
    with server:
        if parts.scheme != "smtps":
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
            elif parts.username:
                # A password is never sent in clear, whatever stands between us and the server.
                raise smtplib.SMTPNotSupportedError(f"{host} offers no STARTTLS, so the password is not sent.")
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
