"""Small files that must never be met half written."""

import json
import os


def write_whole(path, content):
    """Write bytes to a file whole or not at all: a full disk or a killed process leaves the old one."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_dict(path):
    """The dict in a JSON file; an empty one if there is no such file, or something else in it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
