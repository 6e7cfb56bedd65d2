"""What notebooks call to set up, to state claims, to show figures and to ask questions."""

from tlcourse.teach.claims import ClaimFailed, claim
from tlcourse.teach.explorers import (
    draw_adaptation,
    draw_distance,
    draw_features,
    draw_gap,
    draw_leaderboard,
    draw_strategies,
)
from tlcourse.teach.figures import COLORS, alt_image, show
from tlcourse.teach.guide import Advice, recommend
from tlcourse.teach.guide_front import decision_guide
from tlcourse.teach.handing_in import submission
from tlcourse.teach.progress import keep_progress, progress
from tlcourse.teach.quiz import quiz
from tlcourse.teach.setup import Session, setup
from tlcourse.teach.shipped import load_results
from tlcourse.teach.widgets import interactive, lab

__all__ = [
    "COLORS",
    "Advice",
    "ClaimFailed",
    "Session",
    "alt_image",
    "claim",
    "draw_adaptation",
    "draw_distance",
    "draw_features",
    "draw_gap",
    "draw_leaderboard",
    "draw_strategies",
    "decision_guide",
    "interactive",
    "keep_progress",
    "lab",
    "load_results",
    "progress",
    "quiz",
    "recommend",
    "setup",
    "show",
    "submission",
]
