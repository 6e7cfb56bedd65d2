"""Grade a folder of submissions: in parallel, over machines, resumed, and so that an interruption loses nothing."""

import hashlib
import os
import queue
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

from tlcourse.grading import results
from tlcourse.grading.judge import Judge, fingerprint, releases, versions
from tlcourse.grading.submissions import find_submissions


def read_secret(out, seed_file=None):
    """The secret that hidden inputs are drawn from.

    Args:
        out: the folder of results; a secret is made there once, in seed.txt, and used again.
        seed_file: a file to take it from instead.

    Returns:
        bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds less than 16 characters, few enough to guess.
    """
    path = Path(seed_file) if seed_file else Path(out) / "seed.txt"
    if seed_file is None and not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    secret = path.read_bytes().strip()
    if len(secret) < 16:
        raise ValueError(
            f"seed file {path}: holds {len(secret)} characters; give at least 16, such as 64 random digits"
        )
    return secret


def grade_folder(
    folder,
    out,
    *,
    secret,
    isolation="strong",
    jobs=1,
    dask=None,
    resume=False,
    students=None,
    exercises=None,
    policy=None,
    on_progress=None,
):
    """Grade all submissions in a folder and write the reports.

    Each notebook's rows are appended to OUT/results.jsonl as soon as they are known. At the end, and after an
    interruption too, the file is put in order and the reports are written from it.

    Args:
        folder: SUBMISSIONS, with a folder per student.
        out: where the results go; made if absent.
        secret: bytes, see read_secret().
        isolation: "strong" or "weak".
        jobs: how many notebooks at a time, each with a fork server of its own.
        dask: address of a Dask scheduler whose workers do it instead.
        resume: keep what is in OUT for notebooks, exercises and seed that are the same.
        students, exercises: grade these again, and keep all else in OUT.
        policy: results.Policy for late submissions; None keeps the one in OUT.
        on_progress: called with (notebooks done, notebooks in all) as they are graded.

    Returns:
        list of the final rows.

    Raises:
        IsolationError: no sandbox.
        ValueError: an unknown student or exercise.
        KeyboardInterrupt: passed on, when all that was graded is written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = releases()
    everyone, found = find_submissions(folder, names)
    _refuse_unknown("student", students, everyone)
    _refuse_unknown("exercise", exercises, [id for release in names.values() for id in release.exercises])
    results.write_policy(out, policy)
    again = students or exercises
    earlier = results.read(out) if resume or again else []
    now = (fingerprint(secret), versions())
    todo, kept = [], []
    for submission in found:
        before = [row for row in earlier if row["file"] == submission.file]
        asked = submission.student in (students or everyone) if again else not _is_done(submission, before, *now)
        if asked:
            todo.append(submission)
            kept += [row for row in before if exercises and row["exercise"] not in exercises]
        else:
            kept += before
    report = on_progress or (lambda done, total: None)
    report(0, len(todo))
    if not todo:
        results.write(out, kept)
    done, task = 0, (todo, secret, isolation, exercises)
    try:
        with closing(_over_dask(dask, *task) if dask else _over_threads(jobs, *task)) as graded:
            for done, (submission, fresh) in enumerate(graded, start=1):
                if done == 1:  # not before: where no sandbox can be had, the results of an earlier run stay
                    results.write(out, kept)
                who = {"student": submission.student, "file": submission.file, "submitted": submission.submitted}
                results.append(out, [who | row for row in fresh])
                report(done, len(todo))
    finally:
        if done or not todo:
            results.finish(out, everyone)
    return results.read_final(out)


def _refuse_unknown(kind, asked, known):
    for name in asked or []:
        if name not in known:
            raise ValueError(f"{kind} {name!r}: there is none; there are {', '.join(known[:30]) or 'none'}")


def _read(submission):
    """The bytes of a submission, or the text that says why it cannot be read."""
    try:
        return submission.read()
    except ValueError as error:
        return str(error)


def _is_done(submission, rows, seed, versions):
    """Whether a notebook's rows in OUT are of this very file, seed and exercises."""
    if not rows or isinstance(content := _read(submission), str):
        return False
    now = (hashlib.sha256(content).hexdigest(), seed, versions)
    return all((row["sha256"], row["seed"], row["versions"]) == now for row in rows)


def _grade(judge, release_name, content, only):
    """Grade what _read() gave; whatever goes wrong is a row that says so."""
    if isinstance(content, str):
        return judge.unreadable(release_name, content, only)
    for attempt in (1, 2):
        try:
            return judge.grade(content, release_name, only)
        except Exception as error:  # a fault of the grader's: try in a new sandbox, then say it and go on
            if attempt == 2:
                message = f"the grader failed, not the student: {type(error).__name__}: {error}. Grade this one again."
                return judge.unreadable(release_name, message, only, content, fault="grader")


def _over_threads(jobs, todo, secret, isolation, only):
    """Grade in threads of this process, with a judge for each; yield (submission, rows) as they are done."""
    free, judges = queue.Queue(), []

    def make(_):
        judge = Judge(secret, isolation)
        judges.append(judge)
        free.put(judge)

    def work(submission):
        judge = free.get()
        try:
            return submission, _grade(judge, submission.release_name, _read(submission), only)
        finally:
            free.put(judge)

    pool = ThreadPoolExecutor(jobs)
    try:
        list(pool.map(make, range(min(jobs, len(todo)))))
        for future in as_completed([pool.submit(work, submission) for submission in todo]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for judge in judges:  # a notebook under way ends with its sandbox
            judge.close()
        pool.shutdown()


def _over_dask(address, todo, secret, isolation, only):
    """Grade on the workers of a Dask scheduler; yield (submission, rows) as they are done."""
    try:
        from distributed import Client
        from distributed import as_completed as as_finished
    except ImportError as error:
        raise ImportError("--dask needs Dask; install it with: pip install 'tlcourse[dask]'") from error
    task = (secret, isolation, only, os.environ.get("TLCOURSE_CHECKS"))
    with Client(address, timeout="20s") as client:
        futures = {}
        for submission in todo:
            future = client.submit(_on_worker, submission.release_name, _read(submission), *task, pure=False, retries=3)
            futures[future] = submission
        for future in as_finished(list(futures)):
            yield futures[future], future.result()


# On a Dask worker: one judge for its life, and one notebook at a time.
_worker_judges, _worker_lock = {}, threading.Lock()


def _on_worker(release_name, content, secret, isolation, only, checks_folder):
    with _worker_lock:
        if checks_folder:
            os.environ["TLCOURSE_CHECKS"] = checks_folder
        key = (secret, isolation, checks_folder)
        if key not in _worker_judges:
            while _worker_judges:
                _worker_judges.popitem()[1].close()
            _worker_judges[key] = Judge(secret, isolation)
        return _grade(_worker_judges[key], release_name, content, only)
