"""Embed the wizard: a page of your product whose button leads a customer into Patchbay's wizard and back.

    PATCHBAY_URL=https://integrations.example.com PATCHBAY_KEY=pb_h_... python embed_wizard.py 8081

The key is one of the host with the scopes `connect` and `admin` (to make the tenant). Who is signed in here is up to
your product; this example has one customer.
"""

import os
import sys

from flask import Flask, redirect, request
from patchbay_client import Patchbay
from werkzeug.wrappers import Response

CUSTOMER = {"id": "customer-42", "company": "Aldgate Joinery", "person": "Maja Lindqvist", "zone": "Europe/London"}
app = Flask(__name__)


@app.get("/settings/integrations")
def page() -> str:
    """Show the button."""
    return (
        "<!doctype html><title>Integrations</title><h1>Integrations</h1>"
        '<form method="post" action="/settings/integrations"><button>Set up an integration</button></form>'
    )


@app.post("/settings/integrations")
def connect() -> Response:
    """Ask for a session for the customer who is signed in, and send them there. The key never leaves the backend."""
    url, key = os.environ["PATCHBAY_URL"], os.environ["PATCHBAY_KEY"]
    Patchbay(url, key).put_tenant(CUSTOMER["id"], CUSTOMER["company"], CUSTOMER["zone"])
    client = Patchbay(url, key, tenant=CUSTOMER["id"])
    address = client.connect_session(
        CUSTOMER["person"], integration=request.form.get("integration") or None,
        return_url=f"{request.host_url}settings/integrations",
    )  # fmt: skip
    return redirect(address, 303)


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))
