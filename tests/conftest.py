import pytest

from tlcourse import data


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No test sees the switches that another test, or the person who runs them, has set."""
    for name in ("TLCOURSE_STRICT", "TLCOURSE_SEED", "TLCOURSE_CLAIMS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def few():
    """Fifty real digits, five of each."""
    return data.few_shot(data.digits("train"), per_class=5, seed=0)
