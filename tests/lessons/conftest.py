import re
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def remakes(monkeypatch, tmp_path):
    """A function: whether an experiment's main() writes its shipped file again when measuring gives what the file says.

    It takes the experiment and what measures: a function of the experiment's function, a cell and the place of a seed.
    """

    def remakes(experiment, look_up):
        def measure_cells(measure, cells, seeds, jobs):
            return [[look_up(measure, cell, seed) for seed in seeds] for cell in cells]

        monkeypatch.setattr(experiment, "measure_cells", measure_cells)
        monkeypatch.setattr(sys, "argv", ["experiment.py"])
        monkeypatch.chdir(tmp_path)
        experiment.main()
        shipped = Path(experiment.__file__).with_name("results.json").read_text(encoding="utf-8")
        now = re.sub('"torch": "[^"]*"', f'"torch": "{torch.__version__}"', shipped, count=1)
        return Path("results.json").read_text(encoding="utf-8") == now

    return remakes
