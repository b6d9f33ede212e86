"""Static files: the content's hash in the address, cached for ever, compressed once."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache

from flask import Blueprint, Flask, Response, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from app.extensions import ROOT

blueprint = Blueprint("assets", __name__)
_FOLDER = ROOT / "static"
_COMPRESSED = {"text/css", "text/javascript", "application/javascript", "image/svg+xml"}


@dataclass(frozen=True)
class _Asset:
    body: bytes
    zipped: bytes | None
    kind: str
    mark: str


@lru_cache(maxsize=256)
def _load(name: str) -> _Asset:
    path = safe_join(str(_FOLDER), name)
    file = _FOLDER / name
    if path is None or not file.is_file() or file.suffix == ".py":
        raise NotFound
    body = file.read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    zipped = gzip.compress(body, 9, mtime=0) if kind in _COMPRESSED else None
    return _Asset(body, zipped, kind, hashlib.sha256(body).hexdigest()[:12])


def asset_url(name: str) -> str:
    """Return the address of a static file; it changes with the content."""
    return url_for("assets.show", name=name, v=_load(name).mark)


@blueprint.get("/static/<path:name>")
def show(name: str) -> Response:
    """Send a static file."""
    asset = _load(name)
    zipped = asset.zipped is not None and "gzip" in request.headers.get("accept-encoding", "")
    response = Response(asset.zipped if zipped else asset.body, content_type=asset.kind)
    if zipped:
        response.headers["content-encoding"] = "gzip"
    fresh = request.args.get("v") == asset.mark
    response.headers["cache-control"] = "public, max-age=31536000, immutable" if fresh else "no-cache"
    response.headers["vary"] = "accept-encoding"
    response.set_etag(asset.mark)
    response.make_conditional(request)
    return response


def register(flask_app: Flask) -> None:
    """Serve the files and let templates name them."""
    flask_app.register_blueprint(blueprint)
    flask_app.jinja_env.globals["asset_url"] = asset_url
