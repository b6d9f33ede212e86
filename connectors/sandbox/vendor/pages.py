"""Sandbox CRM's pages: look at its records, change or break one, switch on a fault."""

from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request

from connectors.sandbox.vendor.store import OBJECTS, TYPES, Store

blueprint = Blueprint("pages", __name__)
FAULTS = {
    "none": "Everything works", "rate_limit": "Answer 429, slow down", "outage": "Answer 503, out of order",
    "slow": "Answer after three seconds", "garbage": "Answer with a sign-in page instead of data",
}  # fmt: skip


def _store() -> Store:
    found: Store = current_app.extensions["store"]
    return found


@blueprint.get("/")
def index() -> Any:
    kind = request.args.get("object", "contacts")
    kind = kind if kind in OBJECTS else "contacts"
    text = request.args.get("q", "")[:100]
    return render_template(
        "sandbox/index.html",
        kind=kind,
        kinds=OBJECTS,
        q=text,
        records=_store().search(kind, text),
        total=_store().count(kind, None),
    )


@blueprint.route("/<any(contacts, companies, deals):kind>/<record_id>", methods=["GET", "POST"])
def edit(kind: str, record_id: str) -> Any:
    found = _store().find(kind, record_id) if record_id != "new" else {"id": "new", "properties": {}}
    if found is None:
        return render_template("sandbox/message.html", text="This record is gone."), 404
    if request.method == "POST":
        if request.form.get("do") == "delete":
            _store().delete(kind, record_id)
            return redirect(f"/?object={kind}", 303)
        sent = {p["name"]: _typed(p["type"], request.form.get(p["name"], "")) for p in _store().properties(kind)}
        made = _store().save(kind, None if record_id == "new" else record_id, sent)
        return redirect(f"/{kind}/{made['id']}?saved=1", 303)
    return render_template(
        "sandbox/edit.html",
        kind=kind,
        record=found,
        properties=_store().properties(kind),
        saved=request.args.get("saved"),
    )


def _typed(kind: str, text: str) -> Any:
    if text == "":
        return None
    if kind == "boolean":
        return text == "true"
    if kind == "number":
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return text
    return text


@blueprint.route("/fields", methods=["GET", "POST"])
def fields() -> Any:
    store, kind = _store(), request.values.get("object", "contacts")
    kind = kind if kind in OBJECTS else "contacts"
    if request.method == "POST":
        name, wanted = request.form.get("name", "").strip().lower().replace(" ", "_")[:40], request.form.get("type", "")
        if name.isidentifier():
            store.set_property(kind, name, wanted if wanted in TYPES else None)
        return redirect(f"/fields?object={kind}", 303)
    return render_template(
        "sandbox/fields.html", kind=kind, kinds=OBJECTS, types=TYPES, properties=store.properties(kind)
    )


@blueprint.route("/faults", methods=["GET", "POST"])
def faults() -> Any:
    store, wanted = _store(), request.form.get("fault", "")
    if wanted in FAULTS:
        store.put("fault", "kind", wanted)
    elif wanted == "expire":
        store.put("fault", "epoch", (store.get("fault", "epoch") or 0) + 1)
    elif wanted == "revoke":
        for row in store.execute("SELECT DISTINCT json_extract(value, '$.grant') FROM pairs WHERE kind = 'refresh'"):
            store.put("revoked", row[0], True)
    if request.method == "POST":
        return redirect("/faults", 303)
    return render_template("sandbox/faults.html", faults=FAULTS, now=store.get("fault", "kind") or "none")
