"""Development only: the e-mail that would have been sent."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from flask import Blueprint
from werkzeug.wrappers import Response

from app.access import public
from app.errors import NotFoundError
from app.extensions import settings
from app.htmx import render

blueprint = Blueprint("mailbox", __name__, url_prefix="/mailbox")


def _folder() -> Path:
    found = settings().mailbox_dir
    if found is None:
        raise NotFoundError("There is no mailbox: set PATCHBAY_MAILBOX_DIR.")
    return found


def _read(file: Path) -> EmailMessage:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@blueprint.get("")
@public
def index() -> Response:
    files = sorted(_folder().glob("*.eml"), reverse=True)[:100] if _folder().exists() else []
    return render("mailbox/index.html", mails=[(file.stem, _read(file)) for file in files])


@blueprint.get("/<uuid:mail_id>")
@public
def show(mail_id: object) -> Response:
    file = _folder() / f"{mail_id}.eml"
    if not file.exists():
        raise NotFoundError("There is no such message.")
    message = _read(file)
    body = message.get_body(("plain",))
    return render("mailbox/show.html", mail=message, text=body.get_content() if body else "")
