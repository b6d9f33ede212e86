"""The application for gunicorn and the flask command; PATCHBAY_PROCESS=owner is for migrations and commands."""

import os

from app import create_app
from app.config import PROCESSES, SettingsError

_process = os.environ.get("PATCHBAY_PROCESS", "web")
if _process not in PROCESSES:
    raise SettingsError(f"PATCHBAY_PROCESS: give one of {', '.join(PROCESSES)}.")
app = create_app(_process)  # type: ignore[arg-type]  # checked above
