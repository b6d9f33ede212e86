"""People and tenants: sign up, sign in, verify an address, set a new password, belong to a tenant."""

import uuid
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError

from app.clock import now
from app.crypto import token, token_hash
from app.db import db
from app.errors import ConflictError, InvalidError, NotFoundError
from app.ids import new_id
from app.models.accounts import Membership, StaffRole, Tenant, User, UserToken
from app.services import audit, mails, tasks
from app.services.passwords import SHORTEST, hash_password, is_old, is_right
from app.tenancy import PLATFORM_TENANT, scoped

# The ids of addresses without an account.
_NOBODY = uuid.UUID("0b6f9a53-4c38-4a8e-9a4e-2f3d0f0c7c11")
_MOST_RESETS = 5
_LIVES = {"verify_email": timedelta(days=3), "reset_password": timedelta(hours=1)}


def check_password(password: str) -> None:
    """InvalidError when a new password is too short."""
    if len(password) < SHORTEST:
        raise InvalidError("The password is too short.", {"password": f"Use at least {SHORTEST} characters."})


def _email(user_id: uuid.UUID) -> str:
    found = find_by_id(user_id)
    return found.email if found else ""


def find_by_id(user_id: uuid.UUID) -> User | None:
    """Return a user, None when there is none."""
    return db.session.scalar(select(User).where(User.id == user_id))


def find_user(email: str) -> User | None:
    """Return the user of an e-mail address, whatever its case."""
    return db.session.scalar(select(User).where(func.lower(User.email) == email.strip().lower()))


def get_user(user_id: uuid.UUID) -> User:
    """Return a user or raise NotFoundError."""
    found = db.session.get(User, user_id)
    if found is None:
        raise NotFoundError("There is no such person.")
    return found


def make_user(email: str, name: str, password: str, *, verified: bool = False) -> User:
    """Make a user; ConflictError when the address is taken."""
    check_password(password)
    taken = ConflictError("This e-mail address has an account already. Sign in instead.", code="email_taken")
    if find_user(email):
        raise taken
    user = User(id=new_id(), email=email.strip(), name=name.strip(), password_hash=hash_password(password))
    user.email_verified_at = now() if verified else None
    db.session.add(user)
    try:
        db.session.flush()  # Memberships refer to it.
    except IntegrityError:  # Somebody signed up with it since we looked.
        raise taken from None
    return user


def make_tenant(tenant_id: uuid.UUID, name: str, *, external_id: str | None = None) -> Tenant:
    """Make a tenant; its id must be bound."""
    tenant = Tenant(id=tenant_id, name=name.strip(), external_id=external_id)
    db.session.add(tenant)
    db.session.flush()  # Memberships refer to it.
    return tenant


def add_member(tenant_id: uuid.UUID, user_id: uuid.UUID, role: str) -> Membership:
    """Let a user belong to a tenant; one who does already keeps the role."""
    known = db.session.scalar(scoped(Membership, tenant_id).where(Membership.user_id == user_id))
    if known is None:
        known = Membership(tenant_id=tenant_id, user_id=user_id, role=role)
        db.session.add(known)
        audit.write(tenant_id, "member.added", "user", str(user_id), _email(user_id), role=role)
    return known


def sign_up(tenant_id: uuid.UUID, tenant_name: str, email: str, name: str, password: str) -> User:
    """Make a tenant with its owner and send the link that verifies the address."""
    user = make_user(email, name, password)
    make_tenant(tenant_id, tenant_name)
    add_member(tenant_id, user.id, "owner")
    return user


def sign_in(email: str, password: str) -> User:
    """Return the user; InvalidError with one and the same text for an unknown address and a wrong password."""
    user = find_user(email)
    if not is_right(user.password_hash if user else None, password) or user is None:
        raise InvalidError("E-mail address and password do not fit together.", code="wrong_password")
    if is_old(user.password_hash):
        user.password_hash = hash_password(password)
    return user


def list_tenants(user_id: uuid.UUID) -> list[tuple[Tenant, str]]:
    """Return the tenants of the bound user with the role in each."""
    rows = db.session.execute(
        select(Tenant, Membership.role)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.user_id == user_id)
        .order_by(func.lower(Tenant.name))
    )
    return [(row[0], row[1]) for row in rows]


def issue_token(user_id: uuid.UUID, purpose: str) -> str:
    """Return a one-time token for a link; the user must be bound. Their expired ones are deleted."""
    value = token()
    db.session.execute(delete(UserToken).where(UserToken.user_id == user_id, UserToken.expires_at < now()))
    db.session.add(
        UserToken(user_id=user_id, purpose=purpose, token_hash=token_hash(value), expires_at=now() + _LIVES[purpose])
    )
    return value


def find_token(value: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return (token id, user id) of a link's token, before a user is bound."""
    row = db.session.execute(
        text("SELECT token_id, user_id FROM lookup_user_token(:hash)"), {"hash": token_hash(value)}
    ).first()
    return (row[0], row[1]) if row else None


def use_token(token_id: uuid.UUID, purpose: str) -> User:
    """Use a one-time token up and return its user; InvalidError when it has expired or been used."""
    found = db.session.scalar(select(UserToken).where(UserToken.id == token_id).with_for_update())
    if found is None or found.purpose != purpose or found.expires_at < now():
        raise InvalidError("This link has expired or has been used. Ask for a new one.", code="link_used")
    db.session.delete(found)
    return get_user(found.user_id)


def send_verification(tenant_id: uuid.UUID, user: User) -> None:
    """Send the link that verifies the address."""
    mails.send(
        tenant_id, user.email, "Confirm your e-mail address", "verify", name=user.name,
        path=f"/verify/{issue_token(user.id, 'verify_email')}",
    )  # fmt: skip


def request_reset(email: str) -> None:
    """Have a worker send the link that sets a new password; the platform's tenant must be bound.

    An address without an account costs the same: a task that finds nobody.
    """
    user = find_user(email)
    ref = user.id if user else uuid.uuid5(_NOBODY, email.strip().lower())
    tasks.add_task(PLATFORM_TENANT, "send", "send_reset", str(ref), ref=ref)


def send_reset(user: User) -> None:
    """Send the link that sets a new password, five an hour at most; the user and the platform's tenant must be bound."""
    live = select(func.count()).where(
        UserToken.user_id == user.id, UserToken.purpose == "reset_password", UserToken.expires_at > now()
    )
    if (db.session.scalar(live) or 0) >= _MOST_RESETS:
        return
    mails.send(
        PLATFORM_TENANT, user.email, "Set a new password", "reset", name=user.name,
        path=f"/reset/{issue_token(user.id, 'reset_password')}",
    )  # fmt: skip


def set_password(user: User, password: str) -> None:
    """Give a user a new password; links that would set another one end. The user must be bound."""
    check_password(password)
    user.password_hash = hash_password(password)
    db.session.execute(delete(UserToken).where(UserToken.user_id == user.id, UserToken.purpose == "reset_password"))


def change_password(user_id: uuid.UUID, old: str, new: str) -> None:
    """Change a password; InvalidError at the field that does not fit. The platform's tenant must be bound."""
    user = get_user(user_id)
    if not is_right(user.password_hash, old):
        raise InvalidError("The password was not changed.", {"old": "This is not your present password."})
    set_password(user, new)
    audit.write(PLATFORM_TENANT, "password.changed", "user", str(user.id))


def reset_password(token_id: uuid.UUID, password: str) -> None:
    """Use up a link and set the new password; its user and the platform's tenant must be bound."""
    user = use_token(token_id, "reset_password")
    set_password(user, password)
    person = replace(audit.current_actor.get(), id=user.id, name=user.name)
    audit.write(PLATFORM_TENANT, "password.reset", "user", str(user.id), actor=person)


def save_profile(user_id: uuid.UUID, *, name: str, zone: str | None, theme: str) -> None:
    """Keep what a person sets for themselves."""
    get_user(user_id)
    db.session.execute(update(User).where(User.id == user_id).values(name=name.strip(), zone=zone or None, theme=theme))


def list_members(
    tenant_id: uuid.UUID, *, part: str = "", after: uuid.UUID | None = None, limit: int = 50
) -> list[tuple[Membership, User]]:
    """Return members of a tenant by name; `part` is one of name or address, `after` the id the last page ended with."""
    name = func.lower(User.name)
    query = select(Membership, User).join(User, User.id == Membership.user_id).where(Membership.tenant_id == tenant_id)
    if part:
        query = query.where(or_(*(column.icontains(part, autoescape=True) for column in (User.name, User.email))))
    if after:
        last = select(name, Membership.id).join(Membership, Membership.user_id == User.id)
        place = last.where(Membership.tenant_id == tenant_id, Membership.id == after)
        query = query.where(tuple_(name, Membership.id) > place.correlate(None).scalar_subquery())
    rows = db.session.execute(query.order_by(name, Membership.id).limit(limit))
    return [(row[0], row[1]) for row in rows]


def count_members(tenant_id: uuid.UUID) -> int:
    """Return how many members a tenant has."""
    return db.session.scalar(select(func.count()).where(Membership.tenant_id == tenant_id)) or 0


def _get_member(tenant_id: uuid.UUID, membership_id: uuid.UUID) -> Membership:
    found = db.session.scalar(scoped(Membership, tenant_id).where(Membership.id == membership_id))
    if found is None:
        raise NotFoundError("There is no such member.")
    return found


def _keep_an_owner(tenant_id: uuid.UUID, member: Membership) -> None:
    # All owners are locked, in one order: two who step down at the same moment must not both succeed.
    query = scoped(Membership, tenant_id).where(Membership.role == "owner").order_by(Membership.id).with_for_update()
    if member.role == "owner" and not [other for other in db.session.scalars(query) if other.id != member.id]:
        raise ConflictError("A tenant needs an owner. Make somebody else owner first.", code="last_owner")


def change_role(tenant_id: uuid.UUID, membership_id: uuid.UUID, role: str, *, by: str) -> None:
    """Change a member's role; only owners make or unmake owners, and the last one stays."""
    member = _get_member(tenant_id, membership_id)
    if role == member.role:
        return
    if "owner" in (role, member.role) and by != "owner":
        raise InvalidError("Only an owner can make or unmake owners.")
    _keep_an_owner(tenant_id, member)
    audit.write(
        tenant_id,
        "member.role_changed",
        "user",
        str(member.user_id),
        _email(member.user_id),
        before=member.role,
        after=role,
    )
    member.role = role


def remove_member(tenant_id: uuid.UUID, membership_id: uuid.UUID, *, by: str) -> None:
    """Take a person out of the tenant; the last owner stays."""
    member = _get_member(tenant_id, membership_id)
    if member.role == "owner" and by != "owner":
        raise InvalidError("Only an owner can remove an owner.")
    _keep_an_owner(tenant_id, member)
    audit.write(tenant_id, "member.removed", "user", str(member.user_id), _email(member.user_id))
    db.session.delete(member)


def add_staff_role(user_id: uuid.UUID, role: str) -> None:
    """Give a staff role."""
    if db.session.scalar(select(StaffRole.id).where(StaffRole.user_id == user_id, StaffRole.role == role)) is None:
        db.session.add(StaffRole(user_id=user_id, role=role))
        audit.write(PLATFORM_TENANT, "staff.role_given", "user", str(user_id), role=role)
