"""Writes the reference pages that follow from the code: `python -m docs.generate`."""

from pathlib import Path

from app.config import Settings, variable
from app.event_types import event_types_markdown
from connectors.sdk.transforms import transforms_markdown
from docs.manifest_pages import checks_page, manifest_page, schema_page

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


def pages() -> dict[str, str]:
    """Return file name -> content of every generated page."""
    return {
        "settings.md": settings_page(), "manifest.md": manifest_page(), "manifest.schema.json": schema_page(),
        "checks.md": checks_page(), "transforms.md": transforms_markdown() + "\n",
        "event-types.md": event_types_markdown(),
    }  # fmt: skip


if __name__ == "__main__":
    for name, content in pages().items():
        (HERE / name).write_text(content)
