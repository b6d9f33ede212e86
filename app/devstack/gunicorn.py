"""gunicorn's settings: threads, because requests wait for the database more than they compute."""

import gc
from typing import Any

worker_class = "gthread"
workers = 2
threads = 8
preload_app = False
control_socket_disable = True
accesslog = None
graceful_timeout = 5
timeout = 60
# Filters of the API in letters that take twelve bytes each are longer than the usual 4,094.
limit_request_line = 8190


def post_worker_init(_worker: Any) -> None:
    """Keep the collector from what is loaded once, and let it look seldom, but not at much at a time.

    A full collection took 90 ms of every twelfth catalog page; with a worker's thresholds a lesser one took 30.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 100)
