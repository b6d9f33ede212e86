"""`python -m connectors.sandbox.vendor --port 8100 --data DIR --redirect-uri URL`."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from werkzeug.serving import make_server

from connectors.sandbox.vendor.app import create_vendor


def main() -> None:
    """Serve on 127.0.0.1 until told to stop."""
    parser = argparse.ArgumentParser(description="Sandbox CRM, a small vendor to try connectors with.")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--data", type=Path, default=None, help="folder for its records; none: in memory")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lifetime", type=int, default=3600, help="seconds an access token lives")
    parser.add_argument("--redirect-uri", action="append", default=[])
    found = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    file = found.data / "sandbox.sqlite" if found.data else None
    vendor = create_vendor(file, seed=found.seed, redirect_uris=found.redirect_uri, lifetime=found.lifetime)
    server = make_server("127.0.0.1", found.port, vendor, threaded=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"Sandbox CRM on http://localhost:{found.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
