"""What can be tested of the deployment files without an engine to run them."""

import importlib.util
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def test_every_command_exists() -> None:
    for name, service in services().items():
        command = service.get("command") or []
        if "-m" in command:
            assert importlib.util.find_spec(command[command.index("-m") + 1]), name


def test_only_workers_get_the_private_key() -> None:
    for name, service in services().items():
        environment = service.get("environment", {})
        volumes = service.get("volumes", [])
        worker = name.startswith("worker-")
        assert ("PATCHBAY_TOKEN_KEY_FILE" in environment) is worker, name
        if name in ("web", "dispatcher"):
            assert not any(volume.startswith("keys:") for volume in volumes), name


def test_each_process_has_its_own_role() -> None:
    roles = {
        "web": "patchbay_web",
        "dispatcher": "patchbay_dispatcher",
        "worker-sync": "patchbay_worker",
        "migrate": "patchbay_owner",
    }
    for name, role in roles.items():
        urls = [
            value
            for key, value in services()[name]["environment"].items()
            if key.endswith("_URL") and "postgresql" in value
        ]
        assert len(urls) == 1
        assert f"//{role}:" in urls[0]
