"""How far a learner has come: a bar per lesson, and where to go on."""

import html
import os
from pathlib import Path

from IPython.display import display

from tlcourse.course.progress import next_exercise, progress_folder, read_lessons


def progress():
    """Show a bar per lesson: how many of its checks you have passed, and the exercise to go on with.

    A check that passes is kept in a small file, progress.json, beside the folders of the notebooks; on Colab in a folder
    "tlcourse" of a mounted Google Drive. Nothing is sent anywhere. Delete the file to begin anew.
    """
    lessons = read_lessons()
    going_on = next_exercise(lessons)
    plain, rows = [], []
    for lesson in lessons:
        done, of = len(lesson.passed), len(lesson.exercises)
        plain.append(f"{lesson.number} {'█' * done}{'░' * (of - done)} {done} of {of}")
        rows.append(
            f'<tr><th scope="row" style="text-align: left">{lesson.number} {html.escape(lesson.title)}</th>'
            f'<td><progress aria-label="Exercises {lesson.number}" value="{done}" max="{of}"></progress></td>'
            f"<td>{done} of {of}</td></tr>"
        )
    if going_on is None:
        words = link = "All checks are passed."
    else:
        id, notebook = going_on
        words = f"Go on with exercise {id}, in exercises/{notebook}.ipynb."
        link = f'Go on with exercise {id}, in <a href="../exercises/{notebook}.ipynb">exercises/{notebook}.ipynb</a>.'
    kept = f"Kept in {progress_folder()}."
    display(
        {
            "text/plain": "\n".join([*plain, words, kept]),
            "text/html": f'<div role="status"><table>{"".join(rows)}</table>{link} {kept}</div>',
        },
        raw=True,
    )


def keep_progress(folder):
    """Keep the progress of this kernel's checks in a folder that you name, made if absent.

    Args:
        folder: such as "/content/drive/MyDrive/tlcourse" on Colab, where the machine's own files go with the session.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".progress-probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise OSError(f"folder: {str(folder)!r} cannot be written to ({error}); name another one") from error
    os.environ["TLCOURSE_PROGRESS"] = str(folder)
