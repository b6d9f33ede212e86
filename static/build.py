"""Makes the vendored front-end files from npm packages; run when a version changes.

    npm pack htmx.org@2.0.11 @tabler/core@1.6.1 @tabler/icons@3.51.0 @fontsource-variable/inter@5.3.0 uplot@1.6.32
    (unpack each into FOLDER/<name>)    python static/build.py FOLDER

Tabler is cut to the rules our templates use; icons become one sprite.
"""

import re
import shutil
import sys
from pathlib import Path

STATIC = Path(__file__).parent
TEMPLATES = STATIC.parent / "templates"
ICONS = [
    "layout-grid",
    "plug-connected",
    "alert-triangle",
    "git-merge",
    "database",
    "users",
    "history",
    "settings",
    "search",
    "menu-2",
    "arrow-right",
    "arrow-left",
    "arrows-left-right",
    "circle-check",
    "circle-x",
    "circle-dashed",
    "clock",
    "player-pause",
    "player-play",
    "refresh",
    "check",
    "x",
    "plus",
    "dots",
    "chevron-right",
    "chevron-down",
    "selector",
    "external-link",
    "copy",
    "mail",
    "lock",
    "key",
    "logout",
    "user",
    "building",
    "info-circle",
    "alert-circle",
    "trash",
    "pencil",
    "bolt",
    "eye",
    "download",
    "arrow-back-up",
    "device-desktop",
    "sun",
    "moon",
    "link",
    "send",
    "list",
    "shield-lock",
    "plug-x",
    "home",
    "bell",
]
# Rules of plain elements and of these classes are kept besides the classes found in templates.
KEEP = {"visually-hidden", "show", "active", "disabled", "collapsing"}


def blocks(css: str) -> list[tuple[str, str]]:
    """Return (prelude, body) of the top-level blocks of a style sheet."""
    found, depth, start, prelude = [], 0, 0, ""
    for position, character in enumerate(css):
        if character == "{":
            if depth == 0:
                prelude, start = css[start:position].strip(), position + 1
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                found.append((prelude, css[start:position]))
                start = position + 1
    return found


def used(selector: str, classes: set[str]) -> bool:
    """Whether all classes of a selector are used."""
    return all(name in classes for name in re.findall(r"\.((?:\\.|[\w-])+)", selector))


def purge(css: str, classes: set[str]) -> str:
    """Return the style sheet without rules whose classes nobody uses."""
    kept = []
    for prelude, body in blocks(css):
        if prelude.startswith(("@media", "@supports", "@container")):
            inner = purge(body, classes)
            if inner:
                kept.append(f"{prelude}{{{inner}}}")
        elif prelude.startswith("@"):
            if prelude.startswith("@keyframes") and "progress" not in prelude:
                continue
            kept.append(f"{prelude}{{{body}}}")
        else:
            selectors = [s for s in re.split(r",(?![^(]*\))", prelude) if used(s, classes)]
            # An image in a data: address is refused by our content security policy.
            declarations = ";".join(d for d in re.split(r";(?![^(]*\))", body) if "url(" not in d)
            if selectors and declarations:
                kept.append(f"{','.join(selectors)}{{{declarations}}}")
    return "".join(kept)


def main(folder: Path) -> None:
    """Write static/vendor and static/icons."""
    texts = " ".join(file.read_text() for file in [*TEMPLATES.rglob("*.html"), *(STATIC / "js").glob("*.js")])
    classes = set(re.findall(r"[\w-]+", texts)) | KEEP
    css = re.sub(r"/\*.*?\*/|@charset[^;]*;", "", (folder / "core/dist/css/tabler.min.css").read_text(), flags=re.S)
    (STATIC / "vendor/tabler-1.6.1.css").write_text(purge(css, classes))
    shutil.copy(folder / "htmx/dist/htmx.min.js", STATIC / "vendor/htmx-2.0.11.min.js")
    shutil.copy(folder / "uplot/dist/uPlot.iife.min.js", STATIC / "vendor/uplot-1.6.32.min.js")
    shutil.copy(folder / "uplot/dist/uPlot.min.css", STATIC / "vendor/uplot-1.6.32.css")
    for part in ("latin", "latin-ext"):
        name = f"inter-{part}-wght-normal.woff2"
        shutil.copy(folder / "inter/files" / name, STATIC / "vendor" / name)
    symbols = []
    for name in ICONS:
        svg = (folder / f"icons/icons/outline/{name}.svg").read_text()
        paths = "".join(re.findall(r"<path d[^>]*/>", svg))
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
            f'stroke-linecap="round" stroke-linejoin="round">{paths}</symbol>'
        )
    (STATIC / "icons/sprite.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
