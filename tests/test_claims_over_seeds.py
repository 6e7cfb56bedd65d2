"""Claims over seeds: how they are counted, and that what the repository says of them is of its notebooks."""

import ast
import hashlib
import json
import threading
import time

import nbformat
import pytest
from bs4 import BeautifulSoup
from typer.testing import CliRunner

from tlcourse import teach
from tlcourse.authoring import claims_over_seeds
from tlcourse.cli import app
from tlcourse.course import course_root
from tlcourse.course.run import Execution

SETUP = "from tlcourse import teach; session = teach.setup()"


def make_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def execution(seed, *values, at_least=0.0, error=None, notebook="01_demo"):
    claims = [
        {
            "id": f"{notebook[:2]}.{i}",
            "text": f"Claim {i}",
            "value": value,
            "at_least": at_least,
            "at_most": None,
            "margin": value - at_least,
            "held": value >= at_least,
            "shipped": False,
        }
        for i, value in enumerate(values)
    ]
    return Execution(notebook, seed, 1.0 + seed, 100.0, claims, error)


def fake(monkeypatch, work=lambda path, seed: execution(seed, seed)):
    """Put `work` in the place of executing a notebook; return the list of what was executed."""
    calls = []

    def execute(path, *, seed, strict, threads):
        calls.append((path.stem, seed, threads))
        return work(path, seed), None

    monkeypatch.setattr(claims_over_seeds, "execute", execute)
    return calls


def test_summary_gives_rate_margins_and_values():
    first, second = claims_over_seeds.summarise_claims([execution(0, 1, -1), execution(1, 3, 1)])
    assert (first["held"], first["mean_margin"], first["worst_margin"], first["values"]) == (2, 2, 1, [1, 3])
    assert (second["held"], second["runs"], second["worst_margin"]) == (1, 2, -1)
    assert second["sd_margin"] == pytest.approx(2**0.5, rel=1e-5)


def test_a_claim_that_a_run_did_not_reach_or_that_is_nan_did_not_hold():
    rows = claims_over_seeds.summarise_claims([execution(0, 1, 1), execution(1, 1), execution(2, 1, float("nan"))])
    assert [row["held"] for row in rows] == [3, 1] and [row["runs"] for row in rows] == [3, 3]
    assert rows[1]["values"] == [1, None, None] and rows[1]["worst_margin"] == 1


@pytest.mark.parametrize("held, runs, weak", [(20, 20, False), (19, 20, False), (18, 20, True), (1, 2, True)])
def test_nineteen_of_twenty_is_enough(held, runs, weak):
    assert claims_over_seeds.is_weak({"held": held, "runs": runs}) is weak


def test_executions_come_in_order_whatever_ends_first(monkeypatch, tmp_path):
    paths = [make_notebook(tmp_path / f"0{i}_demo.ipynb", "1") for i in (1, 2)]
    together = threading.Barrier(2, timeout=10)  # two at a time, or it breaks

    def work(path, seed):
        together.wait()
        time.sleep(0.05 if (path.stem, seed) == ("01_demo", 4) else 0)
        return execution(seed, seed, notebook=path.stem)

    calls = fake(monkeypatch, work)
    done = []
    found = claims_over_seeds.execute_seeds(paths, [4, 5], jobs=2, on_done=lambda *counts: done.append(counts))
    assert [(run.notebook, run.seed) for run in found] == [
        ("01_demo", 4),
        ("02_demo", 4),
        ("01_demo", 5),
        ("02_demo", 5),
    ]
    assert done == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)] and all(threads >= 1 for *_, threads in calls)


def test_what_is_in_the_record_is_not_run_again(monkeypatch, tmp_path):
    path, record = make_notebook(tmp_path / "01_demo.ipynb", "1"), tmp_path / "c.runs.jsonl"
    calls = fake(monkeypatch)
    first = claims_over_seeds.execute_seeds([path], [4, 5], record=record)
    with open(record, "a") as file:
        file.write('{"key": "half a li')  # a run that was killed
    assert claims_over_seeds.execute_seeds([path], [4, 5], record=record) == first and len(calls) == 2
    claims_over_seeds.execute_seeds([path], [4, 5, 6], record=record)
    assert [seed for _, seed, _ in calls] == [4, 5, 6]
    make_notebook(path, "2")
    claims_over_seeds.execute_seeds([path], [4], record=record)
    assert len(calls) == 4


def test_an_execution_that_failed_is_run_again(monkeypatch, tmp_path):
    path, record = make_notebook(tmp_path / "01_demo.ipynb", "1"), tmp_path / "c.runs.jsonl"
    fake(monkeypatch, lambda path, seed: execution(seed, error="died"))
    claims_over_seeds.execute_seeds([path], [4], record=record)
    calls = fake(monkeypatch)
    assert claims_over_seeds.execute_seeds([path], [4], record=record)[0].error is None and len(calls) == 1


def test_an_interruption_keeps_what_is_done(monkeypatch, tmp_path):
    path = make_notebook(tmp_path / "01_demo.ipynb", "1")

    def work(path, seed):
        if seed == 5:
            raise KeyboardInterrupt
        return execution(seed, seed)

    fake(monkeypatch, work)
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [path])
    arguments = ["claims", "--seeds", "2", "--first", "4", "--json", str(tmp_path / "c.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and "goes on from" in " ".join(result.output.split())
    calls = fake(monkeypatch)
    assert CliRunner().invoke(app, arguments).exit_code == 0 and [seed for _, seed, _ in calls] == [5]


def test_an_interruption_keeps_what_is_under_way(monkeypatch, tmp_path):
    path, record = make_notebook(tmp_path / "01_demo.ipynb", "1"), tmp_path / "c.runs.jsonl"
    started = threading.Event()

    def work(path, seed):
        if seed == 4:
            started.set()
            time.sleep(0.5)
            return execution(seed, seed)
        assert started.wait(10)
        raise KeyboardInterrupt

    fake(monkeypatch, work)
    with pytest.raises(KeyboardInterrupt):
        claims_over_seeds.execute_seeds([path], [4, 5], jobs=2, record=record)
    calls = fake(monkeypatch)
    claims_over_seeds.execute_seeds([path], [4, 5], record=record)
    assert [seed for _, seed, _ in calls] == [5]


@pytest.mark.parametrize("strict, status", [([], 0), (["--strict"], 1)])
def test_the_command_prints_writes_and_is_strict_if_told(monkeypatch, tmp_path, strict, status):
    path = make_notebook(
        tmp_path / "01_demo.ipynb",
        SETUP,
        "teach.claim('01.1', 'Even < odd.', 5, at_least=1)",
        "teach.claim('01.2', 'Odd.', session.seed % 2, at_least=1)",
    )
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [path])
    target = tmp_path / "c.json"
    result = CliRunner().invoke(app, ["claims", "--seeds", "2", "--first", "4", "--json", str(target), *strict])
    assert result.exit_code == status and "1/2" in result.output
    assert result.output.index("01.2") < result.output.index("01.1"), "the weak claim comes first"
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["seeds"] == [4, 5] and written["totals"] == {"all": 2, "measured": 2, "always": 1, "weak": 1}
    assert written["claims"][1]["values"] == [0, 1] and written["claims"][1]["worst_margin"] == -1
    assert written["lessons"]["01_demo"]["made_by"].startswith("tlcourse claims --seeds 2 --first 4 --jobs 1 --json ")
    page = BeautifulSoup((tmp_path / "c.html").read_text(encoding="utf-8"), "html.parser")
    rows = page.find_all("tr", id=True)
    assert [row["id"] for row in rows] == ["claim-01.2", "claim-01.1"] and "Even < odd." in rows[1].get_text()
    assert [row.find_all("path")[1]["d"].count("M") for row in rows] == [2, 2]


def test_lessons_that_are_not_run_stay_in_the_file(monkeypatch, tmp_path):
    paths = {number: make_notebook(tmp_path / f"0{number}_demo.ipynb", "1") for number in "12"}
    fake(monkeypatch, lambda path, seed: execution(seed, seed, notebook=path.stem))
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [paths[c] for c in chosen or "12"])
    target = tmp_path / "c.json"

    def measure(*arguments):
        return CliRunner().invoke(app, ["claims", *arguments, "--seeds", "2", "--json", str(target)]).exit_code

    assert measure() == 0
    before = json.loads(target.read_text())
    fake(monkeypatch, lambda path, seed: execution(seed, -1, notebook=path.stem))
    make_notebook(paths["1"], "2")
    assert measure("1") == 0
    after = json.loads(target.read_text())
    assert list(after["lessons"]) == ["01_demo", "02_demo"]
    assert after["lessons"]["02_demo"] == before["lessons"]["02_demo"]
    assert [row["values"] for row in after["claims"]] == [[-1, -1], [0, 1]] and after["totals"]["weak"] == 1
    kept = target.read_bytes()
    assert measure("1", "--first", "7") == 2 and target.read_bytes() == kept


def test_dask_workers_execute_lessons(tmp_path):
    from distributed import LocalCluster

    path = make_notebook(tmp_path / "01_demo.ipynb", SETUP, "teach.claim('01.1', 'Seed.', session.seed, at_least=5)")
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        runs = claims_over_seeds.execute_seeds([path], [4, 5], dask=cluster.scheduler_address)
    assert [(run.notebook, run.seed, run.claims[0]["held"], run.error) for run in runs] == [
        ("01_demo", 4, False, None),
        ("01_demo", 5, True, None),
    ]


def claims_in_lessons():
    """What the claims of the lessons say that no run can change: id → (lesson, text, bounds, whether shipped)."""
    found = {}
    for path in sorted((course_root() / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and "teach.claim(" in cell.source:
                for id, *rest in claims_in(ast.parse(cell.source)):
                    found[id] = (path.stem, *rest)
    return found


def claims_in(tree):
    text = None  # a long sentence stands on a line of its own: text = "…"
    for node in sorted((node for node in ast.walk(tree) if hasattr(node, "lineno")), key=lambda node: node.lineno):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text":
            text = ast.literal_eval(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "teach.claim":
            given = {keyword.arg: eval(ast.unparse(keyword.value), {}) for keyword in node.keywords}  # such as 1 / 200
            said = text if ast.unparse(node.args[1]) == "text" else ast.literal_eval(node.args[1])
            bounds = given.get("at_least"), given.get("at_most")
            yield ast.literal_eval(node.args[0]), said, bounds, given.get("shipped", False)


def test_the_shipped_evidence_is_of_these_lessons():
    shipped = json.loads((course_root() / "docs" / "claims.json").read_text(encoding="utf-8"))
    rows = {r["id"]: (r["lesson"], r["text"], (r["at_least"], r["at_most"]), r["shipped"]) for r in shipped["claims"]}
    assert rows == claims_in_lessons(), "run the command in docs/claims.json's made_by again"
    assert shipped["totals"] == claims_over_seeds.count_claims(shipped["claims"])
    assert len(shipped["seeds"]) == 20 and all(row["runs"] == 20 for row in shipped["claims"])


def test_the_shipped_evidence_is_as_firm_as_the_course_says():
    shipped = json.loads((course_root() / "docs" / "claims.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in shipped["claims"] if claims_over_seeds.is_weak(row)] == []
    assert shipped["totals"]["always"] >= 0.95 * shipped["totals"]["measured"]


def test_a_lessons_published_seeds_come_from_its_code_alone(tmp_path):
    path = make_notebook(tmp_path / "01_demo.ipynb", "x = 1", "y = 2")
    seeds = list(claims_over_seeds.published_seeds(path))
    assert seeds[0] == int(hashlib.sha256(b"x = 1\n\ny = 2").hexdigest()[:8], 16) and len(seeds) == 20
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("Prose."))
    nbformat.write(notebook, path)
    assert list(claims_over_seeds.published_seeds(path)) == seeds
    make_notebook(path, "x = 1", "y = 3")
    assert claims_over_seeds.published_seeds(path)[0] != seeds[0]


def test_every_published_run_is_added_to_the_history_and_none_is_lost(monkeypatch, tmp_path):
    path = make_notebook(tmp_path / "01_demo.ipynb", "1")
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr("tlcourse.course.find.select_lessons", lambda chosen: [path])
    monkeypatch.setattr("tlcourse.course.course_root", lambda: tmp_path)
    calls = fake(monkeypatch, lambda path, seed: execution(seed, 5, seed % 2 * 10 + 0.5))
    first = CliRunner().invoke(app, ["claims", "01", "--published"])
    assert first.exit_code == 0 and [seed for _, seed, _ in calls] == list(claims_over_seeds.published_seeds(path))
    assert first.output.index("01.1") < first.output.index("01.0"), "a mean margin of 1.1 sd comes before a firm one"
    make_notebook(path, "2")
    assert CliRunner().invoke(app, ["claims", "01", "--published"]).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "docs" / "claims_history.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and lines[0]["sha256"] != lines[1]["sha256"]
    assert [row["held"] for row in lines[0]["claims"]] == [20, 20] and len(lines[0]["seeds"]) == 20
    assert CliRunner().invoke(app, ["claims", "01", "--published", "--first", "3"]).exit_code == 2
    make_notebook(path, "3")
    fake(monkeypatch, lambda path, seed: execution(seed, 5, error="it died"))
    died = CliRunner().invoke(app, ["claims", "01", "--published"])
    assert died.exit_code == 1 and "it died" in died.output, "it is kept all the same"
    assert len((tmp_path / "docs" / "claims_history.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "mean, sd, shipped, firm", [(3, 1, False, True), (2.9, 1, False, False), (2.9, 1, True, True), (1, 0, False, True)]
)
def test_a_margin_under_three_standard_deviations_is_not_firm(mean, sd, shipped, firm):
    assert claims_over_seeds.is_firm({"mean_margin": mean, "sd_margin": sd, "shipped": shipped}) is firm


def test_a_seed_of_eight_hex_digits_is_taken_by_every_generator(monkeypatch):
    monkeypatch.setenv("TLCOURSE_SEED", str(2**32 + 18))  # ffffffff and the nineteen after it
    session = teach.setup()
    assert session.seeds(2) == [1000 * (2**32 + 18), 1000 * (2**32 + 18) + 1]
