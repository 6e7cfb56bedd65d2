"""What notebooks call to set up, to state claims, to show figures and to ask questions."""

from tlcourse import _moved
from tlcourse.teach.claims import ClaimFailed, claim, claims_held
from tlcourse.teach.figures import COLORS, alt_image, show
from tlcourse.teach.handing_in import submission
from tlcourse.teach.progress import keep_progress, progress
from tlcourse.teach.quiz import quiz
from tlcourse.teach.setup import Session, setup
from tlcourse.teach.shipped import load_results
from tlcourse.teach.tables import table
from tlcourse.teach.widgets import interactive, lab

__getattr__ = _moved.names_of(__name__)
