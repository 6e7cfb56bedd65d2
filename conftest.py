"""Plain `pytest` executes every notebook, without a network: lessons and solutions strictly, exercises as a learner first
opens them."""

import os
import tempfile
from pathlib import Path

import pytest

# Imported by Python at start-up, so in a notebook's kernel as well: any connection beyond loopback is written down and
# refused. Learners are offline too.
GUARD = """
import os, socket
connect, resolve = socket.socket.connect, socket.getaddrinfo
def refuse(address):
    with open(os.environ["TLCOURSE_CONNECTIONS"], "a") as file:
        file.write(str(address) + "\\n")
    raise OSError("no network in this test")
def guarded_connect(self, address):
    local = self.family not in (socket.AF_INET, socket.AF_INET6) or address[0] in ("127.0.0.1", "::1", "localhost")
    return connect(self, address) if local else refuse(address)
def guarded_resolve(host, *args, **kwargs):
    local = host in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0")
    return resolve(host, *args, **kwargs) if local else refuse(host)
socket.socket.connect, socket.getaddrinfo = guarded_connect, guarded_resolve
"""


def pytest_configure(config):
    folder = tempfile.TemporaryDirectory(prefix="tlcourse-guard-")
    config.add_cleanup(folder.cleanup)
    (Path(folder.name) / "sitecustomize.py").write_text(GUARD)
    config.guard = Path(folder.name)
    config.python_path = os.pathsep.join(filter(None, [folder.name, os.environ.get("PYTHONPATH")]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # nbval starts a notebook's kernel at the setup of its first cell, and the kernel inherits this.
    if item.path.suffix == ".ipynb":
        os.environ["TLCOURSE_STRICT"] = "0" if item.path.parent.name == "exercises" else "1"
        os.environ["MPLBACKEND"] = "agg"
        os.environ["TLCOURSE_PROGRESS"] = str(item.config.guard / "progress")
        os.environ["PYTHONPATH"] = item.config.python_path
        os.environ["TLCOURSE_CONNECTIONS"] = str(item.config.guard / "connections")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    seen = item.config.guard / "connections"
    if item.path.suffix == ".ipynb" and seen.exists():
        addresses = seen.read_text().split()
        seen.unlink()
        pytest.fail(f"{item.name} reached for {', '.join(addresses)}; a lesson must run offline")
