"""Which connectors there are: an explicit tuple; a test compares it with the folders. Imported on first use."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from connectors.sdk import Connector, load_manifest, manifest_from_json

SLUGS = ("datasette", "github", "hubspot", "kinto", "sandbox", "stripe")
ROOT = Path(__file__).parent


def folder(slug: str) -> Path:
    """Return the folder of a connector; KeyError when there is none."""
    if slug not in SLUGS:
        raise KeyError(slug)
    return ROOT / slug


def _hooks(slug: str) -> ModuleType | None:
    known = slug in SLUGS and (ROOT / slug / "hooks.py").exists()
    return import_module(f"connectors.{slug}.hooks") if known else None


@lru_cache(maxsize=64)
def get(slug: str) -> Connector:
    """Return the connector as its folder declares it now; ManifestError when the manifest is wrong."""
    file = folder(slug) / "manifest.yaml"
    return Connector(load_manifest(file.read_bytes(), source=f"{slug}/manifest.yaml"), _hooks(slug))


def all_connectors() -> list[Connector]:
    """Return all connectors of the registry."""
    return [get(slug) for slug in SLUGS]


@lru_cache(maxsize=512)
def connector_for(stored: str, slug: str) -> Connector:
    """Return the connector of a stored version: its canonical JSON is what runs."""
    return Connector(manifest_from_json(stored), _hooks(slug))
