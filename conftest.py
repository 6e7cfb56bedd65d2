"""Plain `pytest` executes every notebook; lessons and solutions strictly, exercises as a learner first opens them."""

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # nbval starts a notebook's kernel at the setup of its first cell, and the kernel inherits this.
    if item.path.suffix == ".ipynb":
        os.environ["TLCOURSE_STRICT"] = "0" if item.path.parent.name == "exercises" else "1"
        os.environ["MPLBACKEND"] = "agg"
