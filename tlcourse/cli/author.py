"""The author's commands: run, claims, pretrain, release."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tlcourse.cli.console import err, out, print_table, progress_bar, stop

Lessons = Annotated[list[str] | None, typer.Argument(help="Numbers such as 01; all lessons if none is given.")]


def run(
    lessons: Lessons = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write executed notebooks and HTML pages here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
):
    """Execute lessons from top to bottom; a claim that does not hold is a failure."""
    from tlcourse.course.run import execute

    if out_dir is not None:
        _make_folder(out_dir, "--out")
    results = []
    with progress_bar(as_json) as progress:
        for path in _selected(lessons):
            task = progress.add_task(path.stem, total=None)
            result, notebook = execute(
                path, on_cell=lambda done, n, t=task: progress.update(t, completed=done, total=n)
            )
            results.append(result)
            if out_dir is not None:
                try:
                    _write_executed(notebook, path.name, out_dir)
                except OSError as error:
                    stop(f"--out: {path.name} cannot be written ({error}); the lessons before it are in {out_dir}", 1)
    if as_json:
        print(json.dumps([result.as_dict() for result in results], indent=2))
    else:
        rows = []
        for r in results:
            memory = "unknown" if r.peak_mib is None else f"{r.peak_mib:,.0f} MiB"
            held = f"{sum(c['held'] for c in r.claims)}/{len(r.claims)}"
            rows.append((r.notebook, f"{r.seconds:.1f}", memory, held, "failed" if r.error else "ok"))
        numbers = ("seconds", "peak memory", "claims held")
        print_table("tlcourse run", ("lesson", *numbers, "result"), rows, numbers)
    for result in results:
        if result.error:
            err.print(f"{result.notebook}: ", style="red", end="")
            err.print(result.error)
    raise typer.Exit(int(any(result.error for result in results)))


def claims(
    lessons: Lessons = None,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 20,
    first: Annotated[int, typer.Option(help="The first seed; lessons are tuned on 0 to 19.", min=0)] = 0,
    jobs: Annotated[int, typer.Option(help="Lessons at a time; they share the cores.", min=1)] = 1,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write what was measured to this file, where other lessons of the same seeds stay, and a page beside "
            "it; the same command again goes on where it was stopped.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if a claim held in fewer than 19 of 20 runs.")] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="20 runs on seeds that the lesson's own code gives, added to docs/claims_history.jsonl for good; what is "
            "interrupted goes on with the same command.",
        ),
    ] = False,
):
    """Execute lessons again under other seeds; print how often each claim holds, and by what margin."""
    from tlcourse.authoring import claims_over_seeds
    from tlcourse.course import course_root
    from tlcourse.course.files import read_dict, write_whole

    paths = _selected(lessons)
    if published:
        if first or seeds != 20 or json_file is not None:
            stop(
                "--published: the lesson gives its 20 seeds and docs/ keeps them; leave out --first, --seeds, --json", 2
            )
        history = course_root() / "docs" / "claims_history.jsonl"
        if not history.parent.is_dir():
            stop("--published: there is no docs/ here; run this in a checkout of the repository", 2)
        failed = []
        for path in paths:
            drawn = claims_over_seeds.published_seeds(path)
            executions = _execute_seeds([path], drawn, jobs, dask, history.with_suffix(".runs.jsonl"))
            claims_over_seeds.append_history(path, executions, history)
            _print_claims(claims_over_seeds.summarise(executions, f"tlcourse claims --published {path.stem[:2]}"))
            err.print(f"{path.stem}: added to {history}")
            failed += [f"{path.stem}, seed {run.seed}: {run.error}" for run in executions if run.error]
        for message in failed:
            err.print(message)
        raise typer.Exit(int(bool(failed)))
    wanted = range(first, first + seeds)
    record, before = None, {}
    if json_file is not None:
        _make_folder(json_file.resolve().parent, "--json")
        record, before = json_file.with_suffix(".runs.jsonl"), read_dict(json_file)
        others = before.get("lessons", {}).keys() - {path.stem for path in paths}
        if others and before["seeds"] != list(wanted):
            stop(f"--json: {json_file} holds other lessons, under other seeds; name another file", 2)
    executions = _execute_seeds(paths, wanted, jobs, dask, record)
    summary = claims_over_seeds.summarise(executions, _as_command(lessons, seeds, first, jobs, json_file), before)
    _print_claims(summary)
    if json_file is not None:
        write_whole(json_file, claims_over_seeds.as_json(summary).encode())
        json_file.with_suffix(".html").write_text(claims_over_seeds.as_page(summary), encoding="utf-8")
        err.print(f"wrote {json_file} and {json_file.with_suffix('.html')}")
    for execution in executions:
        if execution.error:
            err.print(f"{execution.notebook}, seed {execution.seed}: {execution.error}")
    failed = any(execution.error for execution in executions)
    raise typer.Exit(int(failed or (strict and summary["totals"]["weak"] > 0)))


def pretrain(
    name: Annotated[str, typer.Argument(help="A bundled model; see `tlcourse zoo`.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the weights and the card.")] = Path("weights"),
    root: Annotated[Path | None, typer.Option(help="Folder that holds FashionMNIST, for the fashion models.")] = None,
):
    """Make a bundled model again by its recipe, and compare its accuracy with its card."""
    from tlcourse import models
    from tlcourse.authoring.pretrain import pretrain as pretrain_model

    shipped = {card.name: card.accuracy for card in models.zoo()}
    try:
        card = pretrain_model(name, out_dir, root=root, progress=True)
    except ValueError as error:
        stop(str(error), 2)
    except OSError as error:
        stop(str(error), 1)
    before = {key: f"{value:.4f}" for key, value in shipped.get(name, {}).items()}
    rows = [(key, f"{value:.4f}", before.get(key, "no card")) for key, value in card.accuracy.items()]
    print_table(f"{name}, written to {out_dir}", ("measured on", "now", "on the card"), rows)


def release(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail where a notebook or README.md is out of date.")
    ] = False,
    nbgrader: Annotated[
        Path | None, typer.Option(help="Write a course for nbgrader's own commands into this folder instead.")
    ] = None,
):
    """Make exercises/ from the masters in solutions/; write badges, times, folded cells, and the tables of lessons."""
    from tlcourse.authoring.release import release_all, write_nbgrader_course
    from tlcourse.course import course_root

    try:
        if nbgrader is not None:
            names = write_nbgrader_course(course_root(), nbgrader)
            err.print(f"wrote {', '.join(names)}; in {nbgrader}, run: nbgrader generate_assignment {names[0]} --create")
            return
        differing = release_all(course_root(), write=not check)
    except FileExistsError as error:
        stop(str(error), 2)
    except (ImportError, FileNotFoundError, ValueError) as error:
        stop(str(error), 1)
    for path in differing:
        name = path.relative_to(course_root())
        err.print(f"{name} {'is out of date, or has no master' if check else 'written, or has no master'}")
    if check and differing:
        stop("notebooks or README.md are out of date; run: tlcourse release", 1)


def _execute_seeds(paths, seeds, jobs, dask, record):
    """claims_over_seeds.execute_seeds() with a bar, and its errors as those of a command."""
    from tlcourse.authoring.claims_over_seeds import execute_seeds

    try:
        with progress_bar(False, rate=True) as progress:
            task = progress.add_task("lessons × seeds", total=None)
            return execute_seeds(
                paths,
                seeds,
                jobs=jobs,
                dask=dask,
                record=record,
                on_done=lambda done, total: progress.update(task, completed=done, total=total),
            )
    except KeyboardInterrupt:
        stop("interrupted" if record is None else f"interrupted; the same command goes on from {record}", 1)
    except ImportError as error:
        stop(str(error), 2)
    except (OSError, RuntimeError) as error:
        stop(str(error), 1)


def _as_command(lessons, seeds, first, jobs, json_file):
    words = ["tlcourse claims", *(lessons or []), f"--seeds {seeds} --first {first} --jobs {jobs}"]
    return " ".join(words + ([f"--json {json_file.as_posix()}"] if json_file else []))


def _print_claims(summary):
    from tlcourse.authoring.claims_over_seeds import FIRM, by_firmness, is_firm, is_weak, margin_in_sds

    rows = []
    for row in by_firmness(summary["claims"]):
        mean, worst = ("" if row[key] is None else f"{row[key]:.3g}" for key in ("mean_margin", "worst_margin"))
        text = row["text"] + (" (shipped)" if row["shipped"] else "")
        cells = (row["id"], f"{row['held']}/{row['runs']}", mean, f"{margin_in_sds(row):.1f}", worst, text)
        style = "red" if is_weak(row) else "" if is_firm(row) else "yellow"
        rows.append([Text(cell, style) for cell in cells])
    numbers = ("held", "mean margin", "in sd", "worst")
    title = f"Claims under seeds {summary['seeds'][0]} to {summary['seeds'][-1]}"
    print_table(title, ("claim", *numbers, "text"), rows, numbers)
    soft = sum(not is_firm(row) for row in summary["claims"])
    out.print(f"{soft} claims have a mean margin under {FIRM} standard deviations of their runs.")
    numbers = ("median seconds", "peak memory")
    lessons = summary["lessons"].items()
    rows = [(name, f"{lesson['seconds']:.1f}", f"{lesson['peak_mib']:,} MiB") for name, lesson in lessons]
    print_table(None, ("lesson", *numbers), rows, numbers)
    totals = summary["totals"]
    out.print(
        f"{totals['always']} of {totals['measured']} measured claims held in every run; {totals['weak']} of "
        f"{totals['all']} in fewer than 19 of 20."
    )


def _selected(lessons):
    from tlcourse.course.find import select_lessons

    try:
        return select_lessons(lessons or [])
    except ValueError as error:
        stop(str(error), 2)


def _make_folder(folder, option):
    """Make a folder for results and see that it can be written to, before hours are spent on them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".tlcourse-probe").touch()
        (folder / ".tlcourse-probe").unlink()
    except OSError as error:
        stop(f"{option}: {folder} cannot be written to ({error}); name another folder", 2)


def _write_executed(notebook, name, folder):
    import nbformat

    nbformat.write(notebook, folder / name)
    notebook.metadata.pop("widgets", None)  # then the page shows the pictures that widgets leave, which need no network
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        err.print("HTML pages need nbconvert; install it with: pip install 'tlcourse[lab]'")
        return
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (folder / name).with_suffix(".html").write_text(page, encoding="utf-8")
