import pytest

from tlcourse import data


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No test sees the switches that another test, or the person who runs them, has set, or touches their progress."""
    for name in ("TLCOURSE_STRICT", "TLCOURSE_SEED", "TLCOURSE_CLAIMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "progress"))


@pytest.fixture(scope="session")
def few():
    """Fifty real digits, five of each."""
    return data.few_shot(data.digits("train"), per_class=5, seed=0)
