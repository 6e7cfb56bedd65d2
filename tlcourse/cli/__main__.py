"""`python -m tlcourse.cli` where the script is not on the path."""

from tlcourse.cli import app

app()
