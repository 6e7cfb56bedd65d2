"""Execute lessons without a browser; collect their time, memory and claims."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tlcourse.course.progress import progress_folder
from tlcourse.course.read import CHECK_CALL

_PEAK_MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@dataclass
class Execution:
    """One execution of a notebook: seconds, peak memory of its kernel in MiB (None where unknown), claims, error."""

    notebook: str
    seed: int
    seconds: float
    peak_mib: float | None
    claims: list
    error: str | None

    def as_dict(self):
        return asdict(self)


def execute(path, *, seed=0, strict=True, threads=None, on_cell=None, timeout=300):
    """Execute a notebook from top to bottom in an empty folder of its own.

    Args:
        path: the notebook; the file is not changed.
        seed: TLCOURSE_SEED for the run.
        strict: make a claim or check that fails an error (TLCOURSE_STRICT=1).
        threads: how many CPU threads PyTorch may take (OMP_NUM_THREADS); None leaves it to PyTorch.
        on_cell: called with (cells done, cells in all) after each cell.
        timeout: seconds that one cell may take.

    Returns:
        (Execution, NotebookNode with its outputs).

    Raises:
        RuntimeError: there is no kernel to run notebooks with.
    """
    notebook = nbformat.read(path, as_version=4)
    error = peak = None
    with _client_for(notebook, timeout) as (client, folder):
        record = folder / "claims.jsonl"
        environment = os.environ | {
            "TLCOURSE_SEED": str(seed),
            "TLCOURSE_STRICT": "1" if strict else "0",
            "TLCOURSE_CLAIMS": str(record),
            "TLCOURSE_PROGRESS": str(folder),
        }
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        started = time.perf_counter()
        try:
            # A kernel's own stderr is chatter about sockets; what a cell writes to stderr goes into the notebook.
            with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
                for index, cell in enumerate(notebook.cells):
                    client.execute_cell(cell, index)
                    if on_cell is not None:
                        on_cell(index + 1, len(notebook.cells))
                seconds = time.perf_counter() - started
                client.set_widgets_metadata()
                peak = _peak_memory(client)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as failure:
            seconds, error = time.perf_counter() - started, str(failure)
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return Execution(Path(path).stem, seed, seconds, peak, [json.loads(line) for line in lines], error), notebook


def check_verdicts(path, timeout=300):
    """Execute an exercise notebook and collect what its checks say, as a learner would read it; what passes is kept.

    Args:
        path: the notebook; the file is not changed. A cell that raises does not stop the others.
        timeout: seconds that one cell may take.

    Returns:
        list of dicts, one per check cell: "exercise", "passed", "text".

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a notebook.
        RuntimeError: there is no kernel, or it died.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise ValueError(f"not a notebook ({type(error).__name__})") from error
    environment = {"TLCOURSE_STRICT": "0", "TLCOURSE_PROGRESS": str(progress_folder(Path(path).parent))}
    with _client_for(notebook, timeout, allow_errors=True) as (client, _):
        try:
            client.execute(env=os.environ | environment, stderr=subprocess.DEVNULL)
        except (CellTimeoutError, DeadKernelError) as failure:
            raise RuntimeError(f"{path} did not run to its end: {failure}") from failure
    verdicts = []
    for cell in notebook.cells:
        match = CHECK_CALL.match(cell.source)
        if cell.cell_type == "code" and match:
            texts = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            raised = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
            silent = f"✗ Exercise {match[1]}: the check did not run ({''.join(raised[:1])})"
            text = next((text for text in texts if text.startswith(("✓ Exercise", "✗ Exercise"))), silent)
            verdicts.append({"exercise": match[1], "passed": text.startswith("✓"), "text": text})
    return verdicts


@contextmanager
def _client_for(notebook, timeout, **options):
    """Give (what runs a notebook, the empty folder of its own that it runs in).

    Raises:
        RuntimeError: there is no kernel.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = {"metadata": {"path": folder}}
        try:
            client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=place, **options)
            yield client, Path(folder)
        except NoSuchKernel as failure:
            raise RuntimeError("no kernel to run notebooks with; install one: pip install 'tlcourse[lab]'") from failure


def _peak_memory(client):
    """Ask the kernel for its peak resident memory, in MiB; None on a system that does not keep it (Windows)."""
    probe = nbformat.v4.new_code_cell(_PEAK_MEMORY, metadata={"tags": ["raises-exception"]})
    client.nb.cells.append(probe)
    client.execute_cell(probe, len(client.nb.cells) - 1)
    text = "".join(output.get("text", "") for output in client.nb.cells.pop().outputs)
    if not text.strip().isdecimal():
        return None
    return int(text) / (1024 if sys.platform == "linux" else 1024**2)  # macOS counts bytes, Linux KiB
