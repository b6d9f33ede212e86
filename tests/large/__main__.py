"""`make seed-large`: fill the data of `make run` with a large deployment, to click through and to measure."""

import os
import sys
from pathlib import Path

import psycopg

from app import create_app
from app.config import load_settings
from app.devstack.process import StackError
from app.devstack.stack import Stack
from app.devstack.up import Supervisor, hold
from tests.large import seed


def main() -> None:
    """Start the database of PATCHBAY_DATA, fill it, and stop it again; what is there already stays as it is."""
    data = Path(os.environ.get("PATCHBAY_DATA", ".data")).resolve()
    held = hold(data)
    stack = Stack(data, os.environ)
    supervisor = Supervisor(stack, int(os.environ.get("PORT", "8000")))
    try:
        stack.start()
        supervisor.prepare()
        url = stack.environment()["PATCHBAY_OWNER_URL"]
        with psycopg.connect(url) as owner:
            if seed.is_there(owner):
                sys.exit(
                    f"{seed.NAME} is in {data} already. To make it anew, choose another folder with PATCHBAY_DATA."
                )
        size = seed.Size.from_environment()
        print(", ".join(f"{count:,} {name}" for name, count in size.counts.items()))
        seed.fill(create_app("owner", load_settings(supervisor.environment("owner"))), url, size)
        print(f"Start it with make run, and sign in as {seed.OWNER} with the password {seed.PASSWORD}.")
    finally:
        stack.stop()
        held.close()


if __name__ == "__main__":
    try:
        main()
    except StackError as problem:
        sys.exit(str(problem))
