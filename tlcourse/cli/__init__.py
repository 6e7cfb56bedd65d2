"""The command line: `tlcourse --help`."""

import typer

from tlcourse.cli import author, instructor, learner

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A hands-on course in transfer learning.")

for command in (learner.lab, learner.init, learner.progress, learner.zoo, learner.doctor):
    app.command(rich_help_panel="For learners")(command)
app.command("check", rich_help_panel="For learners")(learner.check_notebook)
for command in (author.run, author.claims, author.pretrain, author.release):
    app.command(rich_help_panel="For authors")(command)
for command in (instructor.grade, instructor.override, instructor.export):
    app.command(rich_help_panel="For instructors")(command)
