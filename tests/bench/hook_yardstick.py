"""The yardstick of webhooks in: the same server, which does no more than what cannot be left out.

One lookup, the tenant bound, two INSERTs in one transaction, and one look at the length of the queue. Nothing is verified,
parsed, recognised or logged. It runs under the web's own role, on the same tables, with a connection for each thread.
"""

import os
import threading
import uuid

import psycopg
from flask import Flask, request
from redis import Redis

app = Flask("yardstick")
_held = threading.local()
_redis = Redis.from_url(os.environ["REDIS_URL"])
_URL = os.environ["PATCHBAY_WEB_URL"].replace("postgresql+psycopg", "postgresql")


def _connection() -> psycopg.Connection[tuple[uuid.UUID, ...]]:
    found = getattr(_held, "connection", None)
    if found is None:
        found = _held.connection = psycopg.connect(_URL)
    return found  # type: ignore[no-any-return]  # threading.local knows no types


@app.post("/hooks/<address>")
def receive(address: str) -> str:
    body = request.get_data()
    sql = _connection()
    row = sql.execute("SELECT tenant_id, endpoint_id FROM lookup_hook(%s)", (address,)).fetchone()
    assert row
    sql.execute("SELECT set_config('patchbay.tenant', %s, true)", (str(row[0]),))
    made = uuid.uuid4()
    sql.execute(
        "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, method, headers, body, size) "
        "VALUES (%s, %s, %s, %s, 'accepted', 'POST', '{}', %s, %s)",
        (row[0], made, row[1], str(made), body, len(body)),
    )
    sql.execute(
        "INSERT INTO tasks (tenant_id, id, lane, kind, key, due_at) VALUES (%s, %s, 'fast', 'yardstick', %s, now())",
        (row[0], uuid.uuid4(), str(made)),
    )
    sql.commit()
    _redis.llen("rq:queue:fast")
    return "ok"
