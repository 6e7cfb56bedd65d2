"""What every benchmark has in common: pairs A B A B, and a table of ours, the peer's and the ratio."""

import os
import platform
import statistics
import time
from importlib.metadata import version

import torch


def seconds_of(work):
    """Wall seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(ours, theirs, pairs):
    """Seconds of ours, theirs, ours, theirs, … → two lists, of `pairs` each: what disturbs one disturbs both."""
    runs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(pairs)]
    return [run[0] for run in runs], [run[1] for run in runs]


def row(what, peer, ours, theirs, unit="s"):
    """One line of a report.

    Args:
        what: is measured, with its size.
        peer: what people would use instead; "" if there is nothing to compare with.
        ours, theirs: lists, one value per repeat; theirs is empty without a peer.
        unit: of the values; less is better.
    """
    return {"what": what, "peer": peer, "ours": ours, "theirs": theirs, "unit": unit}


def report(name, rows, packages=(), threads=None, notes=()):
    """Print rows and notes; return them with the versions of Python, torch and `packages`, and the number of threads.

    The notes say what the times do not: that both sides give the same result, or how the results differ.
    """
    versions = {"python": platform.python_version()} | {p: version(p) for p in ("torch", *packages)}
    threads = threads or torch.get_num_threads()
    print(f"\n{name}: " + ", ".join(f"{p} {v}" for p, v in versions.items()) + f", {threads} threads")
    print(f"{'median':56}{'ours':>10}{'peer':>10}{'ratio':>8}  peer")
    for r in rows:
        theirs, ratio = (f"{statistics.median(r['theirs']):.4g}", f"{ratio_of(r):.2f}") if r["theirs"] else ("", "")
        print(
            f"{r['what'] + ', ' + r['unit']:56}{statistics.median(r['ours']):10.4g}{theirs:>10}{ratio:>8}  {r['peer']}"
        )
    for note in notes:
        print(note)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return {
        "name": name,
        "machine": machine,
        "threads": threads,
        "versions": versions,
        "rows": rows,
        "notes": list(notes),
    }


def ratio_of(row):
    """The peer's median over ours: above 1, ours takes less."""
    return statistics.median(row["theirs"]) / statistics.median(row["ours"])
