"""Sign up, sign in and out, verify an address, set a new password, join by invitation."""

import uuid
from typing import Any

from flask import Blueprint, Response, flash, request
from werkzeug.wrappers import Response as BaseResponse

from app import devices
from app.access import find_viewer, public, signed_in, viewer
from app.clock import now
from app.errors import AppError, ForbiddenError, InvalidError, NotFoundError
from app.extensions import limiter, settings
from app.forms.accounts import AddressForm, JoinForm, NewPasswordForm, SignInForm, SignUpForm
from app.htmx import go, render
from app.services import accounts, invitations, sessions
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from app.web import cookie_name

blueprint = Blueprint("auth", __name__)
_START = "/home"


def safe_next(target: str | None) -> str:
    """Return a page of ours to go on to; anything else becomes the start page."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target:
        return _START
    return target if target.isprintable() and ":" not in target.split("?")[0] else _START


def _enter(user_id: uuid.UUID, tenant_id: uuid.UUID | None, address: str, email: str) -> BaseResponse:
    config = settings()
    agent = request.headers.get("user-agent", "")
    before = find_viewer()
    with bind_tenant(tenant_id, user_id), transaction():
        # A session that existed before signing in is not carried over (session fixation).
        if before and before.user.id == user_id:
            sessions.forget_session(before.session_id)
        value = sessions.start_session(user_id, tenant_id, config, ip=request.remote_addr or "", user_agent=agent)
    # Staff without a customer of their own have no home.
    response = go(address if tenant_id or address != _START else "/")
    response.set_cookie(
        cookie_name(config), value, max_age=config.session_days * 86_400, secure=config.secure, httponly=True,
        samesite="Lax", path="/",
    )  # fmt: skip
    devices.remember(response, email)
    return response


def _first_tenant(user_id: uuid.UUID) -> uuid.UUID | None:
    with bind_tenant(None, user_id), transaction():
        found = accounts.list_tenants(user_id)
    return found[0][0].id if found else None


@blueprint.route("/sign-in", methods=["GET", "POST"])
@limiter.limit("30/minute;300/hour", key_func=devices.source, methods=["POST"])
@limiter.limit("10/minute;50/hour", key_func=devices.source_and_account, methods=["POST"])
@public
def sign_in() -> BaseResponse:
    form = SignInForm()
    target = safe_next(request.values.get("next"))
    if form.validate_on_submit():
        try:
            with transaction():
                user_id = accounts.sign_in(form.email.data, form.password.data).id
        except InvalidError as error:
            return _sign_in_page(form, target, error.message, 422)
        return _enter(user_id, _first_tenant(user_id), target, form.email.data)
    return _sign_in_page(form, target, "", 422 if form.is_submitted() else 200)


def _sign_in_page(form: SignInForm, target: str, message: str, status: int) -> Response:
    return render("auth/sign_in.html", status=status, form=form, next=target, message=message, demo=_demo_accounts())


def _demo_accounts() -> list[tuple[str, str, str]]:
    if not settings().development:
        return []
    return [
        ("maja@aldgate.example", "Maja Lindqvist", "Owner of Aldgate Joinery"),
        ("tom@aldgate.example", "Tom Okafor", "Member of Aldgate Joinery"),
        ("lea@brightwater.example", "Lea Brandt", "Owner of Brightwater"),
        ("operator@patchbay.example", "Olga Operator", "Operator of this deployment"),
    ]


@blueprint.post("/sign-in/demo")
@public
def demo() -> BaseResponse:
    email = request.form.get("email", "")
    if email not in [account[0] for account in _demo_accounts()]:
        raise NotFoundError
    user = accounts.find_user(email)
    if user is None:
        raise NotFoundError("The demo accounts are not there. Run `flask demo seed`.")
    return _enter(user.id, _first_tenant(user.id), safe_next(request.form.get("next")), email)


@blueprint.route("/sign-up", methods=["GET", "POST"])
@limiter.limit("20/hour", methods=["POST"])
@public
def sign_up() -> BaseResponse:
    if settings().signup != "open":
        raise ForbiddenError("Nobody can sign up by themselves here. Ask for an invitation.")
    form, target = SignUpForm(), safe_next(request.values.get("next"))
    message = ""
    if form.validate_on_submit():
        tenant_id = uuid.uuid4()
        try:
            with bind_tenant(tenant_id), transaction():
                user = accounts.sign_up(
                    tenant_id, form.company.data, form.email.data, form.name.data, form.password.data
                )
            with bind_tenant(tenant_id, user.id), transaction():
                accounts.send_verification(tenant_id, user)
            return _enter(user.id, tenant_id, target, form.email.data)
        except AppError as error:
            message = error.message
    return render(
        "auth/sign_up.html", status=422 if form.is_submitted() else 200, form=form, message=message, next=target,
        host_name=settings().host_name,
    )  # fmt: skip


@blueprint.post("/sign-out")
@signed_in
def sign_out() -> BaseResponse:
    who = viewer()
    with bind_tenant(PLATFORM_TENANT, who.user.id), transaction():
        if request.form.get("everywhere"):
            sessions.end_all(who.user.id)
        else:
            sessions.end_session(who.session_id)
    response = go("/sign-in")
    response.delete_cookie(cookie_name(settings()), path="/")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@blueprint.post("/tenants/<uuid:tenant_id>/switch")
@signed_in
def switch(tenant_id: uuid.UUID) -> BaseResponse:
    who = viewer()
    if tenant_id not in [tenant.id for tenant, _ in accounts.list_tenants(who.user.id)]:
        raise NotFoundError
    with transaction():
        sessions.switch_tenant(who.session_id, tenant_id)
    return go(_START)


def _ended(purpose: str) -> Response:
    """Return the page of a link that is over: why that is so, and what helps."""
    signed_in = find_viewer() is not None
    title, text = "This link no longer works", "A link to set a new password works once, for one hour."
    ways = [("Send a new link", "/forgot"), ("Sign in", "/sign-in")]
    if purpose == "verify":
        text = "Your e-mail address may be confirmed already. If it is not, your profile has a button that sends a new link."
        ways = [("Open your profile", "/profile") if signed_in else ("Sign in", "/sign-in?next=/profile")]
    elif purpose == "join":
        title = "This invitation no longer works"
        text = "It was accepted, taken back or has expired. If you have joined, sign in; else ask who invited you to send a new one."
        ways = [("Go to Home", _START) if signed_in else ("Sign in", "/sign-in")]
    return render("auth/link_ended.html", status=422, title=title, text=text, ways=ways)


@blueprint.route("/forgot", methods=["GET", "POST"])
@limiter.limit("10/hour", key_func=devices.source, methods=["POST"])
@limiter.limit("5/hour", key_func=devices.source_and_account, methods=["POST"])
@public
def forgot() -> BaseResponse:
    form = AddressForm()
    sent = False
    if form.validate_on_submit():
        with bind_tenant(PLATFORM_TENANT), transaction():
            accounts.request_reset(form.email.data)
        sent = True
    return render("auth/forgot.html", status=422 if form.errors else 200, form=form, sent=sent)


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
@limiter.limit("30/hour")
@public
def reset(token: str) -> BaseResponse:
    form = NewPasswordForm()
    found = accounts.find_token(token)
    if found is None:
        return _ended("reset")
    if form.validate_on_submit():
        try:
            with bind_tenant(PLATFORM_TENANT, found[1]), transaction():
                accounts.reset_password(found[0], form.password.data)
                sessions.forget_all(found[1])
        except InvalidError as error:
            if error.code != "link_used":
                raise
            return _ended("reset")
        flash("The new password is set. Sign in with it.")
        return go("/sign-in")
    return render("auth/reset.html", status=422 if form.is_submitted() else 200, form=form)


@blueprint.get("/verify/<token>")
@limiter.limit("30/hour")
@public
def verify(token: str) -> BaseResponse:
    found = accounts.find_token(token)
    if found is None:
        return _ended("verify")
    try:
        with bind_tenant(None, found[1]), transaction():
            user = accounts.use_token(found[0], "verify_email")
            user.email_verified_at = now()
    except InvalidError:
        return _ended("verify")
    flash("Your e-mail address is confirmed.")
    return go(_START)


@blueprint.route("/invitations/<token>", methods=["GET", "POST"])
@limiter.limit("60/hour")
@public
def join(token: str) -> BaseResponse:
    found = invitations.find(token)
    if found is None:
        return _ended("join")
    tenant_id, invitation_id = found
    form, who, message = JoinForm(), find_viewer(), ""
    try:
        with bind_tenant(tenant_id, who.user.id if who else None), transaction():
            email = invitations.get_open(tenant_id, invitation_id).email
    except InvalidError:
        return _ended("join")
    known = accounts.find_user(email) is not None
    if request.method == "POST" and (who or form.validate_on_submit()):
        try:
            user_id = _accept(tenant_id, invitation_id, email, form, who)
            return _enter(user_id, tenant_id, _START, email)
        except AppError as error:
            message = error.message
    return render(
        "auth/join.html", status=422 if request.method == "POST" else 200, form=form, email=email, known=known,
        message=message, next=request.path,
    )  # fmt: skip


def _accept(tenant_id: uuid.UUID, invitation_id: uuid.UUID, email: str, form: JoinForm, who: Any) -> uuid.UUID:
    with bind_tenant(tenant_id, who.user.id if who else None), transaction():
        if who:
            user = accounts.get_user(who.user.id)
        else:
            user = accounts.make_user(email, form.name.data, form.password.data)
        invitations.accept(tenant_id, invitation_id, user)
        return user.id
