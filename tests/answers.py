"""Finds the right and wrong answers that lie with each lesson's tests."""

import importlib.util
from pathlib import Path


def load_answers():
    """tests/lessons/<slug>/answers.py of every lesson that has one -> dict from the slug to the module."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("lessons/*/answers.py")):
        spec = importlib.util.spec_from_file_location(f"answers_{path.parent.name}", path)
        found[path.parent.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[path.parent.name])
    return found
