"""The outer wall: a fork server inside bubblewrap, and the children it forks, seen from the judge's side."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tlcourse
from tlcourse.checks import NoAnswer
from tlcourse.course.lessons import list_lessons
from tlcourse.grading import wire

START_SECONDS = 120  # importing torch from a cold disk
_END_SECONDS = 20
_HOME = "/tlcourse-child"  # a name of its own: what is emptied after each child must be no folder of this machine
# Where memory does run out, the fork server and its children go before anything else; no right is needed to ask for that.
_EXPENDABLE = ["/bin/sh", "-c", 'echo 1000 2>/dev/null >/proc/self/oom_score_adj; exec "$@"', "sh"]
_NO_WALL = (
    "strong isolation is not available here: {}. Submissions are programs of strangers, and this machine would let them "
    "read your files. On Debian or Ubuntu: apt install bubblewrap. On macOS, Windows, or in a container that may not make "
    "namespaces: use the container in docs/grading.md. Only for code that you trust: --isolation=weak"
)
PACKAGE = Path(tlcourse.__file__).parent


class IsolationError(RuntimeError):
    """The wall cannot be built here, or has a hole."""


class ChildEnded(NoAnswer):
    """A child ended, or was ended because it did not answer: status "timeout" or "crash", and the message."""


class Raised(Exception):
    """A student's code raised in the child: the name of the exception's type, its message, and the line."""

    def __init__(self, type_name, message, line):
        super().__init__(f"{type_name}: {message}" if message else type_name)
        self.type_name = type_name
        self.line = line


class Sandbox:
    """A fork server and the wall around it.

    Args:
        isolation: "strong" (bubblewrap) or "weak" (resource limits and, on Linux, the system-call filter only: the code
            can read what the person who grades can read).

    Raises:
        IsolationError: the wall cannot be built, with what to do; or a probe got through it.
    """

    def __init__(self, isolation="strong"):
        if not hasattr(os, "fork"):
            raise IsolationError("grading forks, which this system cannot do; use the container in docs/grading.md")
        self.isolation = isolation
        self._process = self._control = None
        self._closed = False
        self._folder = tempfile.mkdtemp(prefix="tlcourse-grade-") if isolation == "weak" else None
        try:
            self._start()
            self._probe()
        except BaseException:
            self.close()
            raise

    def close(self):
        """End the fork server and all that it forked, for good."""
        self._closed = True
        self._stop()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def child(self):
        """Fork a child that has run nothing yet; end() it before the next."""
        if self._process is None:
            self._start()
        near, far = wire.pair()
        with far:
            self._command(b"f", [far.fileno()])
        return Child(self, near)

    def end_child(self, command=b"e"):
        """Kill the child and all that it left; return what it used. A server that is not clean afterwards is replaced."""
        try:
            used = self._command(command)
        except IsolationError:
            used = {"status": None, "cpu_seconds": 0.0, "peak_kib": 0, "clean": False}
        if not used["clean"]:
            self._stop()  # the next child() starts another
        return used

    def _start(self):
        if self._closed:
            raise IsolationError("this sandbox is closed")
        near, far = wire.pair()
        home = _HOME if self.isolation == "strong" else self._folder
        environment = _environment(home)
        server = [sys.executable, "-s", "-P", "-m", "tlcourse.grading.zygote", str(far.fileno()), home]
        with far, tempfile.TemporaryFile() as log:
            try:
                wall = _bubblewrap(environment) if self.isolation == "strong" else []
                self._process = subprocess.Popen(
                    [*_EXPENDABLE, *wall, *server],
                    env=environment,
                    pass_fds=[far.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                )
                far.close()
                self._control = near
                ready = self._answer(START_SECONDS)
            except OSError as error:
                self._stop()
                log.seek(0)
                reason = log.read().decode(errors="replace").strip()[-1000:] or str(error)
                problem = _NO_WALL if self.isolation == "strong" else "the fork server did not start: {}"
                raise IsolationError(problem.format(reason)) from None
        if self.isolation == "strong" and not ready["alone"]:
            self._stop()
            raise IsolationError("bubblewrap made no process namespace of its own; update it to 0.5 or newer")

    def _stop(self):
        if self._process is not None:
            self._control.close()  # the server ends at this, and with it its namespace
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._control = None

    def _command(self, command, descriptors=()):
        try:
            socket.send_fds(self._control, [command], descriptors)
            return self._answer(_END_SECONDS)
        except OSError as error:
            self._stop()
            raise IsolationError(f"the fork server is gone ({error})") from error

    def _answer(self, seconds):
        """One line of JSON from the server, which is trusted: no student's code can write to its socket."""
        self._control.settimeout(seconds)
        with self._control.makefile("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):
            raise OSError("it ended")
        return json.loads(line)

    def _probe(self):
        """Try the wall from inside, as a student's code would, and believe only what that shows."""
        with tempfile.NamedTemporaryFile(prefix="tlcourse-secret-") as secret:
            child = self.child()
            try:
                found = child.ask(20, "probe", secret.name, os.getpid(), str(PACKAGE), list(map(str, _answer_keys())))
                holes = [name for name, is_open in found.items() if is_open]
            except (ChildEnded, Raised) as error:
                raise IsolationError(f"a child cannot be sealed on this system: {error}") from error
            finally:
                child.end()
        if self.isolation == "strong" and holes:
            raise IsolationError(f"the sandbox has a hole: a child {' and '.join(holes)}")


class Child:
    """One forked child of a Sandbox; is_ended once it gave no answer or end() was called."""

    def __init__(self, sandbox, channel):
        self._sandbox = sandbox
        self._channel = channel
        self.is_ended = False

    def ask(self, seconds, request, *arguments):
        """Send a request and wait for its answer.

        Args:
            seconds: how long it may take.
            request, arguments: a handler of child.serve() and its plain arguments.

        Returns:
            the answer, plain data.

        Raises:
            Raised: the child ran it and got an exception.
            ChildEnded: no answer in time, the child died, or what came was none. The child is ended then.
        """
        nonce = secrets.token_hex(8)  # an answer written before its question was asked does not fit
        deadline = time.monotonic() + seconds
        self._channel.settimeout(seconds)
        try:
            wire.send(self._channel, wire.encode((nonce, request, *arguments), wire.MAX_REQUEST))
            reply = wire.receive(self._channel, deadline - time.monotonic())
            kinds = [type(part) for part in reply] if type(reply) is tuple else []
            is_answer = len(kinds) == 3 and kinds[:2] == [str, str] and reply[:2] == (nonce, "ok")
            is_error = kinds == [str] * 5 and reply[:2] == (nonce, "raised")
            if not (is_answer or is_error):
                raise wire.WireError("an answer to something that was not asked")
        except TimeoutError:
            self.end()
            raise ChildEnded("timeout", f"no answer within {seconds:g} s") from None
        except wire.WireClosed:
            raise ChildEnded("crash", _obituary(self.end(is_dying=True)["status"])) from None
        except wire.WireError as error:
            self.end()
            raise ChildEnded("crash", f"it wrote to the grader's channel what is no answer ({error})") from None
        if is_error:
            raise Raised(*(part[:500] for part in reply[2:]))
        return reply[2]

    def end(self, is_dying=False):
        """Kill it, or find out of what it is dying. Returns a dict: "status" or None, "cpu_seconds", "peak_kib", "clean"."""
        self.is_ended = True
        self._channel.close()
        return self._sandbox.end_child(b"d" if is_dying else b"e")


def _environment(home):
    own = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, [PACKAGE.parent, *_libraries()])),
        "LANG": "C.UTF-8",
        "USER": "student",
        "MPLBACKEND": "agg",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "JOBLIB_MULTIPROCESSING": "0",
        **dict.fromkeys(["HOME", "TMPDIR", "MPLCONFIGDIR"], home),
        **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"),
    }
    if checks := os.environ.get("TLCOURSE_CHECKS"):
        own["TLCOURSE_CHECKS"] = str(Path(checks).resolve())
    if processor := os.environ.get("OPENBLAS_CORETYPE"):
        own["OPENBLAS_CORETYPE"] = processor
    return own


def _libraries():
    """Folders of installed packages on the path of this process."""
    return [Path(folder) for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]


def _bubblewrap(environment):
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError("bubblewrap is not installed")
    shown = {Path(sys.base_prefix), Path(sys.prefix), PACKAGE, *_libraries()}
    if checks := environment.get("TLCOURSE_CHECKS"):
        shown.add(Path(checks))
    command = [program, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--hostname", "sandbox"]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"):
        if os.path.islink(name):
            command += ["--symlink", os.readlink(name), name]
        else:
            command += ["--ro-bind-try", name, name]
    for folder in sorted(folder for folder in shown if folder.is_dir()):
        if not folder.is_relative_to("/usr"):
            command += ["--ro-bind", str(folder), str(folder)]
    for folder in _answer_keys():
        command += ["--tmpfs", str(folder), "--remount-ro", str(folder)]
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    command += ["--size", str(64 << 20), "--tmpfs", _HOME, "--chdir", _HOME, "--remount-ro", "/"]
    return command


def _answer_keys():
    """Folders of the package that no student's code may see: what draws the cases works out most right answers."""
    return [folder for lesson in list_lessons() if (folder := lesson.folder / "exercises").is_dir()]


def _obituary(status):
    if status is None:
        return "the process closed its channel to the grader, or ended without a trace"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reasons = {9: "killed, most likely for memory", 11: "a fault in memory", 24: "too much CPU time"}
        return f"the process died of {signal.Signals(number).name} ({reasons.get(number, 'a fatal signal')})"
    return "the process ended itself"
