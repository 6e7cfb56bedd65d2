import pytest
import torch

from tlcourse import data


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No test sees the switches that another test, or the person who runs them, has set, or touches their progress."""
    for name in ("TLCOURSE_STRICT", "TLCOURSE_SEED", "TLCOURSE_CLAIMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # as teach.setup() has it


@pytest.fixture
def one_cpu_thread(monkeypatch):
    """As the shipped tables were made: another order of sums is enough to move one run by several points."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def few():
    """Fifty real digits, five of each."""
    return data.few_shot(data.digits("train"), per_class=5, seed=0)
