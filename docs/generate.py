"""Writes the reference pages that follow from the code: `python -m docs.generate`."""

from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from app.config import Settings, variable
from connectors.sdk import manifest
from connectors.sdk.transforms import transforms_markdown

HERE = Path(__file__).parent


def settings_page() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        "From the environment. A wrong value stops the start with a sentence that names it.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if str(default) in ("**********", "", "None", "()") else default
        lines.append(f"| `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def manifest_page() -> str:
    """Return the page of all manifest keys."""
    lines = [
        "# The manifest",
        "",
        "`connectors/<slug>/manifest.yaml`. Unknown keys are refused with line and path.",
        "",
    ]
    for model in vars(manifest).values():
        if (
            not (isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == manifest.__name__)
            or not model.model_fields
        ):
            continue
        lines += [
            f"## {model.__name__}",
            "",
            model.__doc__ or "",
            "",
            "| key | type | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for name, field in model.model_fields.items():
            kind = (
                str(field.annotation).replace("typing.", "").replace("connectors.sdk.manifest.", "").replace("|", "or")
            )
            kind = kind.removeprefix("<class '").removesuffix("'>")
            default = "required" if field.default is PydanticUndefined else repr(field.default)
            if len(default) > 40:
                default = "see there"
            lines.append(f"| `{field.alias or name}` | {kind[:120]} | {default} | {field.description or ''} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (HERE / "settings.md").write_text(settings_page())
    (HERE / "manifest.md").write_text(manifest_page())
    (HERE / "transforms.md").write_text(transforms_markdown() + "\n")
