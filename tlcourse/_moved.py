"""Old places of modules and names that learners' notebooks may use. Each is found where it is now, when it is asked for."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

MODULES = {
    "tlcourse.checks.exercise": "tlcourse.checks",
    "tlcourse.doctor": "tlcourse.cli.doctor",
    "tlcourse.execution": "tlcourse.course.run",
    "tlcourse.grading.notebook": "tlcourse.course.read",
    "tlcourse.measure.adaptation": "tlcourse.lessons.domain_adaptation.experiment",
    "tlcourse.measure.causes": "tlcourse.lessons.negative_transfer.experiment",
    "tlcourse.measure.leaderboard": "tlcourse.lessons.choosing_a_source.experiment",
    "tlcourse.measure.strategy_table": "tlcourse.lessons.fine_tuning.experiment",
    "tlcourse.progress": "tlcourse.course.progress",
    "tlcourse.release": "tlcourse.authoring.release",
    "tlcourse.training.parts": "tlcourse.models.groups",
}
_GUIDE = "tlcourse.lessons.choosing_a_source.guide"
NAMES = {
    "tlcourse.measure": {"measure_strategy": "tlcourse.lessons.fine_tuning.experiment"},
    "tlcourse.models": {"RECIPES": "tlcourse.authoring.pretrain", "pretrain": "tlcourse.authoring.pretrain"},
    "tlcourse.teach": {
        "draw_adaptation": "tlcourse.lessons.domain_adaptation.figures",
        "draw_distance": "tlcourse.lessons.domain_mismatch.figures",
        "draw_features": "tlcourse.lessons.pretrained_models.figures",
        "draw_gap": "tlcourse.lessons.negative_transfer.figures",
        "draw_leaderboard": "tlcourse.lessons.choosing_a_source.figures",
        "draw_strategies": "tlcourse.lessons.fine_tuning.figures",
        "Advice": _GUIDE,
        "decision_guide": _GUIDE,
        "recommend": _GUIDE,
    },
}
RESULTS = {"adaptation": "domain_adaptation", "leaderboard": "choosing_a_source", "strategies": "fine_tuning"}


def names_of(package):
    """A package's __getattr__, for the names that have moved out of it."""

    def find(name):
        if name not in NAMES[package]:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(NAMES[package][name]), name)

    return find


class _MovedModules(MetaPathFinder, Loader):
    def find_spec(self, fullname, path=None, target=None):
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def create_module(self, spec):
        module = importlib.import_module(MODULES[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        spec, module.__spec__ = module.__spec__, module.__spec__.loader_state
        sys.modules[spec.name] = module


sys.meta_path.append(_MovedModules())
