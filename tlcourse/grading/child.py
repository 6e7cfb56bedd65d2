"""What happens in a child: it reads the notebook, runs the student's cells, and answers the judge's calls.

Nothing that is said here is believed because it is said here: see docs/grading.md.
"""

import ast
import asyncio
import inspect
import os
import random
import sys
import tempfile
import traceback
import types
import warnings
from contextlib import suppress

import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager

from tlcourse import checks
from tlcourse.checks.compare import as_plain
from tlcourse.course.read import read_cells
from tlcourse.grading import wire


def serve(channel):
    """Answer the judge's requests until it hangs up."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module  # where dataclasses and pickle look for what a cell defines
    module.get_ipython = lambda: _NoShell(module.__dict__)
    checks.check = checks.award = lambda id, function: None  # a student's own calls of the check are not marks
    handlers = {
        "read": lambda content: read_cells(content.tobytes()),
        "run": lambda name, source: _run_cell(module.__dict__, name, source),
        "has": lambda name: callable(module.__dict__.get(name)),
        "call": lambda id, name, seed, inputs: _call(module.__dict__[name], id, seed, inputs),
        "probe": _probe,
    }
    while True:
        try:
            nonce, name, *arguments = wire.receive(channel, limit=wire.MAX_REQUEST)
        except wire.WireClosed:
            return
        try:
            reply = ("ok", as_plain(handlers[name](*arguments)))
        except BaseException as error:  # a student's code may raise anything, SystemExit included
            reply = ("raised", type(error).__name__, _message(error), _line(error))
        try:
            frame = wire.encode((nonce, *reply))
        except Exception as error:  # too large, or a number that no format takes
            frame = wire.encode((nonce, "raised", "ValueError", f"the output cannot be sent: {error}"[:500], ""))
        wire.send(channel, frame)


class _NoShell:
    """Stands for IPython's shell: magics and shell lines do nothing, but for those that time a cell."""

    def __init__(self, namespace):
        self._namespace = namespace

    def run_cell_magic(self, name, line, body):
        if name in ("time", "timeit", "capture", "prun"):
            _execute(self._namespace, f"%%{name}", body)

    def run_line_magic(self, name, line, **options):
        if name in ("time", "timeit", "prun"):
            _execute(self._namespace, f"%{name}", line)

    def system(self, command):
        return None

    def getoutput(self, command, **options):
        return []


def _run_cell(namespace, name, source):
    with warnings.catch_warnings(action="ignore"):
        _execute(namespace, name, source)


def _execute(namespace, name, source):
    source = TransformerManager().transform_cell(source)
    code = compile(source, f"<cell {name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        asyncio.run(result)


def _call(function, id, seed, inputs):
    observe = checks.find_observer(id)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    with warnings.catch_warnings(action="ignore"):
        return observe(function, inputs)


def _message(error):
    try:
        return str(error)[:500]
    except BaseException:  # an exception of the student's class may refuse to be shown
        return ""


def _line(error):
    """Where in the student's cells an exception comes from: "line 3 of cell transfer-gain", or nothing."""
    try:
        if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
            return f"line {error.lineno} of {error.filename[1:-1]}"
        frames = traceback.extract_tb(error.__traceback__)
        return next(
            f"line {f.lineno} of {f.filename[1:-1]}" for f in reversed(frames) if f.filename.startswith("<cell ")
        )
    except BaseException:
        return ""


def _probe(secret_path, judge_pid, package, answer_keys):
    """Try what the walls are to prevent; the judge reads the outcome before it trusts them."""
    import ctypes
    import socket

    def succeeds(attempt):
        try:
            attempt()
            return True
        except (OSError, AttributeError):
            return False

    def fork():
        if os.fork() == 0:
            os._exit(0)

    def connect():
        with socket.create_connection(("127.0.0.1", 9), timeout=1):
            pass

    def write(folder):
        with tempfile.TemporaryFile(dir=folder):
            pass

    def lock(path):
        import fcntl

        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def has_network():
        with suppress(OSError), open("/proc/net/dev") as file:
            return {line.split(":")[0].strip() for line in file.readlines()[2:]} != {"lo"}
        return False

    libc = ctypes.CDLL(None)
    return {
        "reads a file of the judge": succeeds(lambda: open(secret_path).close()),
        "sees the judge's code": any(os.path.isdir(folder) and os.listdir(folder) for folder in answer_keys),
        "sees the judge's process": succeeds(lambda: os.kill(judge_pid, 0)),
        "starts a process": succeeds(fork),
        "opens a socket": succeeds(lambda: socket.socket().close()) or succeeds(connect),
        "has network interfaces": has_network(),
        "writes into the package": succeeds(lambda: write(package)),
        "traces another process": libc.ptrace(16, os.getppid(), 0, 0) == 0,
        "may gain privileges": sys.platform == "linux" and libc.prctl(39, 0, 0, 0, 0) != 1,
        "reads the zygote's memory": succeeds(lambda: open(f"/proc/{os.getppid()}/mem", "rb").close()),
        "writes to the kernel's settings": succeeds(
            lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
        ),
        "writes to the zygote's settings": succeeds(lambda: os.close(os.open("/proc/1/oom_score_adj", os.O_WRONLY))),
        "locks a shared file": succeeds(lambda: lock(__file__)),
        "cannot write its own folder": not succeeds(lambda: write(".")),
    }
