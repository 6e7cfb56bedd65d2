import os

import pytest
from handed_in import SECRET

from tlcourse.grading.judge import Judge
from tlcourse.grading.sandbox import IsolationError, Sandbox


@pytest.fixture(scope="session")
def strong():
    """Skips where strong isolation cannot be had; in CI (REQUIRE_ISOLATION=1) its absence is a failure."""
    try:
        Sandbox("strong").close()
    except IsolationError as error:
        if os.environ.get("REQUIRE_ISOLATION") == "1":
            pytest.fail(f"REQUIRE_ISOLATION=1, but: {error}")
        pytest.skip(str(error)[:200])


@pytest.fixture(scope="session")
def judge(strong):
    with Judge(SECRET) as judge:
        yield judge
