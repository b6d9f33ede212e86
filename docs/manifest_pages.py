"""The reference pages of the manifest, from the schema itself: every key, its JSON Schema, and all checks."""

import typing
from functools import cache
from typing import Any, Literal, get_args, get_origin

import orjson
import yaml
from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connectors import registry
from connectors.sdk import checks, parts
from connectors.sdk import manifest as manifest_module
from connectors.sdk.loader import load_yaml
from connectors.sdk.manifest import Manifest, json_schema
from connectors.sdk.schema import parts as types
from connectors.sdk.schema.words import EXAMPLES, MEANINGS

# Connectors whose manifests give the examples: the ones kept as examples.
_SHOWN = ("kinto", "sandbox", "datasette")
_TYPE_NAMES = (
    "Slug",
    "Name",
    "Path",
    "RootPath",
    "Sentence",
    "Label",
    "Template",
    "Parameter",
    "Header",
    "Host",
    "Version",
)
_BAD: tuple[Any, ...] = (
    "", "Not One Of These / ä", "x" * 5000, -1, 10**12, 1.5, True, None, [], ["x"], {}, {"strange": 1},
)  # fmt: skip


def models() -> list[type[BaseModel]]:
    """Return the parts of the schema in the order in which they are met."""
    found: list[type[BaseModel]] = []

    def walk(model: type[BaseModel]) -> None:
        if model in found:
            return
        found.append(model)
        for field in model.model_fields.values():
            for inner in _inner(field.annotation):
                walk(inner)

    walk(Manifest)
    return found


def _inner(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _inner(argument)]


def meaning(model: type[BaseModel], name: str) -> str:
    """Return what a key means, empty when nobody has said it."""
    said = model.model_fields[name].description
    return said or MEANINGS.get(f"{model.__name__}.{name}") or MEANINGS.get(f".{name}") or ""


def example(model: type[BaseModel], name: str) -> str:
    """Return an example of a key as YAML, empty when there is none."""
    own = EXAMPLES.get(f"{model.__name__}.{name}")
    return own if own is not None else _used().get((model.__name__, name), "")


@cache
def _used() -> dict[tuple[str, str], str]:
    """Return the first value of each key in the manifests that are kept as examples."""
    found: dict[tuple[str, str], str] = {}

    def walk(model: BaseModel) -> None:
        for name in type(model).model_fields:
            if name not in model.model_fields_set:
                continue
            value = getattr(model, name)
            plain = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
            text = _flow(plain[type(model).model_fields[name].alias or name])
            key = (type(model).__name__, name)
            if key not in found or len(text) < len(found[key]):
                found[key] = text
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, BaseModel):
                    walk(inner)

    for slug in _SHOWN:
        if slug in registry.SLUGS:
            walk(registry.get(slug).manifest)
    return found


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def type_words(annotation: Any, metadata: list[Any]) -> str:
    """Return a type as people say it."""
    for name in _TYPE_NAMES:
        kind = getattr(types, name)
        limits = [item for item in get_args(kind)[1:] if isinstance(item, StringConstraints)]
        if any(item in limits for item in metadata):
            return name.lower().replace("rootpath", "path or empty")
    if get_origin(annotation) is typing.Annotated:
        kind, *more = get_args(annotation)
        return type_words(kind, more)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{item}`" for item in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {type_words(*_one(annotation, 0))}"
    if get_origin(annotation) is dict:
        return f"map of {type_words(*_one(annotation, 0))} to {type_words(*_one(annotation, 1))}"
    if get_args(annotation):
        return " or ".join(type_words(kind, []) for kind in get_args(annotation) if kind is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    words = {str: "text", int: "whole number", float: "number", bool: "flag", Any: "anything"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _one(annotation: Any, number: int) -> tuple[Any, list[Any]]:
    return get_args(annotation)[number], []


def refusals(model: type[BaseModel], name: str) -> list[str]:
    """Return what is said of wrong values, found by trying some."""
    field = model.model_fields[name]
    if field.annotation in (Any, bool):
        return []
    kind: Any = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    found: list[str] = []
    for bad in _BAD:
        try:
            adapter.validate_python(bad)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if not first["loc"] and first["type"] not in ("model_type", "none_required") and first["msg"] not in found:
                found.append(str(first["msg"]))
    return found[:2]


def manifest_page() -> str:
    """Return the page of all manifest keys."""
    lines = [
        "# The manifest", "",
        "`connectors/<slug>/manifest.yaml`: strict YAML (no anchors, tags, merge or duplicate keys, 256 kB at most) in which "
        "an unknown key is an error with line, path and fix. What must fit together beyond single keys is in "
        "[checks.md](checks.md), the same as JSON Schema in [manifest.schema.json](manifest.schema.json), how to begin in "
        "[connectors/README.md](../connectors/README.md).", "",
        "Types: a *name* is lower case letters, digits and `_`; a *path* is dotted, as `paging.next`; a *template* is a text "
        "with places such as `{config.shop}`; a *sentence* has 600 characters at most, a *label* 80.", "",
    ]  # fmt: skip
    for model in models():
        lines += [f"## {model.__name__}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | type | default | meaning | example | refused as |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [_row(model, name, field) for name, field in model.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def _row(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    cells = [
        f"`{field.alias or name}`", type_words(field.annotation, field.metadata), _default(field), meaning(model, name),
        _code(_short(example(model, name))), "; ".join(refusals(model, name)),
    ]  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value in (None, "", [], {}) or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, list):
        value = [
            item.model_dump(mode="json", exclude_unset=True) if isinstance(item, BaseModel) else item for item in value
        ]
    return f"`{_flow(value)}`"


def _short(text: str) -> str:
    return text if len(text) <= 110 else text[:109] + "…"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`" if text else ""


def schema_page() -> str:
    """Return the JSON Schema of a manifest."""
    return orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


def checks_page() -> str:
    """Return the page of all checks with their stable ids."""
    lines = [
        "# Checks", "",
        "`flask connectors check <slug>` prints what is wrong: the id of the check, the line, the path, what is wrong, and how "
        "to right it. The ids do not change. `flask connectors check <slug> --ids` lists them.", "",
        "## Text and shape", "", "| id | about |", "| --- | --- |",
        "| `yaml` | The file is one plain YAML document: no anchors, aliases, tags, merge or duplicate keys, nothing that can be "
        "read in two ways, no hidden characters, 256 kB, 20 levels and 5,000 values at most. |",
    ]  # fmt: skip
    lines += [f"| `{name}` | {about} |" for name, about in manifest_module.shape_ids().items()]
    for title, found in (("What must fit together", checks.ids()), ("The files beside it", parts.ids())):
        lines += ["", f"## {title}", "", "| id | about |", "| --- | --- |"]
        lines += [f"| `{name}` | {about} |" for name, about in found.items()]
    return "\n".join(lines) + "\n"


def parsed_example(text: str) -> Any:
    """Return the value of an example as the loader reads it."""
    return load_yaml(f"value: {text}", "example")[0]["value"]
