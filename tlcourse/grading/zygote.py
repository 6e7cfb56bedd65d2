"""The fork server: imports torch once, then forks one child per submission. Started by sandbox.py, inside the wall.

It reads from its control socket one byte, "f" (fork; the child's end of a channel comes with it), "e" (end the child) or
"d" (the child is dying: say of what), and answers with one line of JSON. It never reads what a child writes, so no submission can speak to it.
"""

import gc
import json
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    home = sys.argv[2]
    from tlcourse.grading import seal

    seal.seal_zygote()
    _preload()
    _wipe(home)
    gc.collect()
    gc.freeze()  # the collector leaves what is shared with children alone, so it stays shared
    _answer(control, {"ready": True, "alone": os.getpid() == 1})
    child = None
    while True:
        command, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if command == b"f":
            child = _fork(control, descriptors[0], home)
            os.close(descriptors[0])
            _answer(control, {"forked": child})
        elif command in (b"e", b"d"):
            _answer(control, _end(child, home, is_dying=command == b"d"))
        else:
            return  # the judge is gone; where this is process 1, all others end with it


def _preload():
    import scipy.stats  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch

    torch.set_num_threads(1)  # a second thread before the fork would hang the child's first parallel operation
    from tlcourse import checks, data, models, teach, training  # noqa: F401
    from tlcourse.course.lessons import list_lessons
    from tlcourse.grading import child  # noqa: F401

    for lesson in list_lessons():
        checks.find_observer(f"{lesson.number}.1")
    checks.list_exercises()  # an instructor's own; the course's are hidden here
    # Once through what every submission needs, so that no child pays for its first use.
    x = data.glyphs(2).x
    for name in ("letters", "random"):
        torch.nn.functional.cross_entropy(models.load(name)(x), torch.tensor([0, 1])).backward()


def _fork(control, descriptor, home):
    os.makedirs(f"{home}/work", mode=0o700, exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    try:
        from tlcourse.grading import child, seal

        control.close()
        os.setsid()
        os.chdir(f"{home}/work")
        channel = socket.socket(fileno=os.dup(descriptor))
        _close_others(channel.fileno())
        own = {name: value for name, value in os.environ.items() if name == "TLCOURSE_CHECKS"}
        os.environ.clear()
        os.environ.update(own)
        os.environ.update(HOME=os.getcwd(), TMPDIR=os.getcwd(), USER="student", MPLBACKEND="agg", OMP_NUM_THREADS="1")
        seal.seal_child()
        child.serve(channel)
    finally:
        os._exit(0)


def _close_others(keep):
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)


def _end(child, home, is_dying):
    """Kill all that runs beside this process, wait for it, and empty the folder. What dies by itself gets a moment."""
    # As process 1 of its own namespace, -1 is everything but itself. Elsewhere it would be all that the user runs.
    everything = -1 if os.getpid() == 1 else child
    status, seconds, peak, killed = None, 0.0, 0, True
    for _ in range(40 if is_dying else 0):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            killed = False
            break
        time.sleep(0.005)
    while True:
        with suppress(OSError):  # nothing is left to kill
            os.kill(everything, signal.SIGKILL)
        try:
            pid, waited, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            status, seconds, peak = None if killed else waited, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    return {"status": status, "cpu_seconds": seconds, "peak_kib": peak, "clean": _wipe(home)}


def _wipe(folder):
    """Empty a folder, whatever a submission made of it; say whether nothing is left."""

    def remove(path, **options):
        with suppress(OSError, RecursionError):
            shutil.rmtree(path, **options) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def unlock(function, path, _):
        for closed in (os.path.dirname(path), path):
            with suppress(OSError):
                os.chmod(closed, 0o700)
        remove(path)

    for name in os.listdir(folder):
        remove(os.path.join(folder, name), onerror=unlock)
    return not os.listdir(folder)


def _answer(control, message):
    control.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
