"""The host's object types and their fields."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.object_types import ObjectField, ObjectType
from connectors.sdk import Choice, TargetField
from connectors.sdk.fields import FIELD_TYPES

_STAGES = ("lead", "customer", "subscriber", "other")
# name: (label, plural, title field, fields as "name:type", ! required, # unique hint, ~ sensitive)
_STANDARD: dict[str, tuple[str, str, str, str]] = {
    "contact": (
        "Contact", "Contacts", "full_name",
        "email:email# first_name:text last_name:text full_name:text phone:phone company_name:text job_title:text "
        "city:text country:text stage:choice notes:long_text consent:flag score:number birthday:date~ "
        "last_contacted_at:datetime",
    ),
    "company": (
        "Company", "Companies", "name",
        "name:text! domain:text# phone:phone city:text country:text employees:integer industry:text",
    ),
    "deal": (
        "Deal", "Deals", "name",
        "name:text! amount:number currency:text stage:text close_date:date contact_email:email",
    ),
    "ticket": ("Ticket", "Tickets", "subject", "subject:text! number:text# status:text priority:text body:long_text"),
    "todo": ("Todo", "Todos", "title", "title:text! done:flag due_date:date assignee:text notes:long_text"),
    "invoice": (
        "Invoice", "Invoices", "number",
        "number:text!# customer_email:email amount:number currency:text status:text issued_on:date due_on:date",
    ),
    "subscription": (
        "Subscription", "Subscriptions", "plan",
        "plan:text! customer_email:email status:text amount:number currency:text renews_on:date",
    ),
    "user": ("User", "Users", "name", "email:email# name:text active:flag"),
    "channel": ("Channel", "Channels", "name", "name:text!# topic:text private:flag members:integer"),
}  # fmt: skip


def standard_fields(object_type: str) -> list[TargetField]:
    """Return the fields that a standard type has before an operator changes it; KeyError when there is none."""
    fields = (text.split(":") for text in _STANDARD[object_type][3].split())
    return [
        TargetField(name, _label(name), kind.rstrip("!#~"), "!" in kind, _choices() if "choice" in kind else ())
        for name, kind in fields
    ]


def _choices() -> tuple[Choice, ...]:
    return tuple(Choice(stage, stage.capitalize()) for stage in _STAGES)


def seed_object_types() -> None:
    """Add the standard types and fields that are missing; what operators have changed stays."""
    for position, (name, (label, plural, title, fields)) in enumerate(_STANDARD.items()):
        values = {"name": name, "label": label, "plural": plural, "title_field": title, "position": position}
        db.session.execute(insert(ObjectType).values(id=new_id(), created_at=now(), **values).on_conflict_do_nothing())
        for place, text in enumerate(fields.split()):
            field, kind = text.split(":")
            row = {
                "object_type": name, "name": field, "label": _label(field), "type": kind.rstrip("!#~"),
                "required": "!" in kind, "unique_hint": "#" in kind, "sensitive": "~" in kind, "position": place,
                "choices": [{"value": s, "label": s.capitalize()} for s in _STAGES] if "choice" in kind else [],
            }  # fmt: skip
            db.session.execute(
                insert(ObjectField).values(id=new_id(), created_at=now(), **row).on_conflict_do_nothing()
            )


def _label(name: str) -> str:
    words = name.removesuffix("_at").removesuffix("_on").replace("_", " ").capitalize()
    return {"Email": "E-mail", "Customer email": "Customer e-mail", "Contact email": "Contact e-mail"}.get(words, words)


def list_object_types() -> list[ObjectType]:
    """Return all object types in order."""
    return list(db.session.scalars(select(ObjectType).order_by(ObjectType.position, ObjectType.name)))


def get_object_type(name: str) -> ObjectType:
    """Return an object type or raise NotFoundError."""
    found = db.session.scalar(select(ObjectType).where(ObjectType.name == name))
    if found is None:
        raise NotFoundError("There is no such object type.")
    return found


def list_fields(object_type: str) -> list[ObjectField]:
    """Return the fields of an object type in order."""
    query = select(ObjectField).where(ObjectField.object_type == object_type)
    return list(db.session.scalars(query.order_by(ObjectField.position, ObjectField.name)))


def fields_by_type() -> dict[str, dict[str, ObjectField]]:
    """Return object type -> name -> field, of all types, in order."""
    query = select(ObjectField).order_by(ObjectField.object_type, ObjectField.position, ObjectField.name)
    found: dict[str, dict[str, ObjectField]] = {}
    for field in db.session.scalars(query):
        found.setdefault(field.object_type, {})[field.name] = field
    return found


def fields_of(object_type: str) -> list[TargetField]:
    """Return the fields of an object type as the SDK's target fields."""
    return [target_of(field) for field in list_fields(object_type)]


def target_of(field: ObjectField) -> TargetField:
    """Return a field as the SDK's target field."""
    choices = tuple(Choice(choice["value"], choice["label"]) for choice in field.choices)
    return TargetField(field.name, field.label, field.type, field.required, choices)


def key_fields_of(object_type: str) -> tuple[str, ...]:
    """Return the names of the fields a record is found by."""
    return key_fields(list_fields(object_type))


def key_fields(fields: Iterable[ObjectField]) -> tuple[str, ...]:
    """Return the names of those of these fields that a record is found by."""
    return tuple(field.name for field in fields if field.unique_hint)


def add_field(object_type: str, name: str, label: str, kind: str, *, required: bool, unique_hint: bool) -> ObjectField:
    """Add a field to an object type; ConflictError when it has one of that name."""
    get_object_type(object_type)
    if kind not in FIELD_TYPES:
        raise NotFoundError("There is no such field type.")
    fields = list_fields(object_type)
    if any(field.name == name for field in fields):
        raise ConflictError(f"There is a field {name} already.", code="field_exists")
    field = ObjectField(
        object_type=object_type, name=name, label=label, type=kind, required=required, unique_hint=unique_hint,
        position=len(fields),
    )  # fmt: skip
    db.session.add(field)
    return field


def add_object_type(name: str, label: str, plural: str, title_label: str) -> ObjectType:
    """Add an object type with its first field, the title; ConflictError when there is one of that name."""
    if db.session.scalar(select(ObjectType.id).where(ObjectType.name == name)):
        raise ConflictError(f"There is an object type {name} already.", code="type_exists")
    made = ObjectType(name=name, label=label, plural=plural, title_field="name", position=100)
    db.session.add(made)
    db.session.flush()  # The field refers to it.
    db.session.add(ObjectField(object_type=name, name="name", label=title_label, type="text", required=True))
    return made
