"""The files a connector is made of, and what is wrong with them: README sections, a safe icon, fixtures without secrets.

Each function yields sentences that name the file and what to do.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import orjson

from connectors.sdk.fixtures import REDACTED
from connectors.sdk.loader import Issue
from connectors.sdk.recording import SECRET_KEYS, SECRET_SHAPES, foreign_mail

SECTIONS = ("Set up", "Limits", "Removal", "Verified")
FILES = ("manifest.yaml", "README.md", "icon.svg")
_ICON_BYTES = 2048
_SHAPES = {
    "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "title", "desc", "defs",
    "linearGradient", "radialGradient", "stop", "clipPath",
}  # fmt: skip


def issues(folder: Path) -> list[Issue]:
    """Return everything that is wrong with the files beside the manifest."""
    found = [Issue("", 0, text, "", "files") for text in missing_files(folder)]
    checks = {"README.md": readme_issues, "icon.svg": icon_issues, "fixtures": secret_issues}
    for name, look in checks.items():
        if (folder / name).exists():
            found += [Issue(name, 0, text, "", name.split(".")[0].lower()) for text in look(folder)]
    return found


def ids() -> dict[str, str]:
    """Return the id of each of these checks -> what it is about."""
    return {
        "files": "manifest.yaml, README.md, icon.svg and at least one fixture are there.",
        "readme": f"README.md says what it syncs, then has the sections {', '.join(SECTIONS)}, none of them empty.",
        "icon": "icon.svg is square, 2 kB at most, and can only draw.",
        "fixtures": "No fixture holds a secret or the address of a real person.",
    }


def missing_files(folder: Path) -> Iterator[str]:
    """Say which parts are not there."""
    for name in FILES:
        if not (folder / name).is_file():
            yield f"{name} is missing: every connector has {', '.join(FILES)} and a folder fixtures."
    if not any(folder.glob("fixtures/*.json")):
        yield "fixtures/ holds no file: record some with `flask connectors record`."


def readme_issues(folder: Path) -> Iterator[str]:
    """Say which sections of the README are missing, empty or out of order."""
    text = (folder / "README.md").read_text()
    headings = re.findall(r"(?m)^##\s+(.+?)\s*$", text)
    found = [next((n for n, title in enumerate(headings) if title.lower() == name.lower()), None) for name in SECTIONS]
    for name, place in zip(SECTIONS, found, strict=True):
        if place is None:
            yield f"README.md has no section “## {name}”. Its order is: what it syncs, {', '.join(SECTIONS)}."
        elif not re.search(rf"(?ims)^##\s+{re.escape(name)}\s*$\s*[^#\s]", text):
            yield f"README.md: the section “{name}” is empty."
    places = [place for place in found if place is not None]
    if places != sorted(places):
        yield f"README.md: the sections stand in the order {', '.join(SECTIONS)}."
    before = text.split("\n## Set up")[0]
    if len(re.sub(r"(?m)^#.*$", "", before).strip()) < 40:
        yield "README.md does not begin with what it syncs: say it in a few sentences before “## Set up”."


def icon_issues(folder: Path) -> Iterator[str]:
    """Say why an icon cannot be shown: too large, not square, or able to do more than draw."""
    content = (folder / "icon.svg").read_bytes()
    if len(content) > _ICON_BYTES:
        yield f"icon.svg has {len(content):,} bytes; {_ICON_BYTES:,} are enough for a few shapes."
        return
    if b"<!" in content or b"<?" in content.replace(b"<?xml", b"", 1):
        yield "icon.svg holds a declaration or comment (<! or <?). Take it out."
        return
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # no declarations, so no entities; and 2 kB at most
    except ElementTree.ParseError as error:
        yield f"icon.svg is not XML: {error}."
        return
    box = (root.get("viewBox") or "").split()
    if root.tag != "{http://www.w3.org/2000/svg}svg" or len(box) != 4 or box[2] != box[3]:
        yield 'icon.svg is not a square SVG: begin with <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">.'
    for element in root.iter():
        name = str(element.tag).rpartition("}")[2]
        if name not in _SHAPES:
            yield f"icon.svg holds <{name}>; it may draw only with {', '.join(sorted(_SHAPES))}."
        for attribute, value in element.attrib.items():
            plain = attribute.rpartition("}")[2].lower()
            outside = "url(" in value.lower() and "url(#" not in value.lower()
            if plain.startswith("on") or plain in ("href", "style", "class") or outside or "script:" in value.lower():
                yield f"icon.svg: {plain} of <{name}> is refused. Use plain attributes such as fill and stroke."


def secret_issues(folder: Path) -> Iterator[str]:
    """Say where a fixture holds what looks like a secret or a real person's address."""
    for file in sorted(folder.glob("fixtures/*.json")):
        text = file.read_text()
        shape = SECRET_SHAPES.search(text)
        if shape:
            yield f"{file.name} holds what looks like a secret ({shape[0][:8]}…). Write {REDACTED}."
        mail = foreign_mail(text)
        if mail:
            yield f"{file.name} holds {mail}, which may be somebody's. Use a domain such as example.test."
        yield from _secret_keys(orjson.loads(text), file.name, "")


def _secret_keys(value: object, file: str, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            at = f"{path}.{name}".strip(".")
            if SECRET_KEYS.search(name) and isinstance(inner, str) and not _harmless(inner):
                yield f"{file}: {at} names a secret. Write {REDACTED}."
            yield from _secret_keys(inner, file, at)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _secret_keys(inner, file, f"{path}.{number}")


def _harmless(text: str) -> bool:
    return text == "" or text.startswith((REDACTED, "test-", "sample", "example", "{"))
