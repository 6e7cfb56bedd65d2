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
    "tlcourse.models.pretrain": "tlcourse.authoring.pretrain",
    "tlcourse.progress": "tlcourse.course.progress",
    "tlcourse.release": "tlcourse.authoring.release",
    "tlcourse.training.parts": "tlcourse.models.groups",
}
NAMES = {
    "tlcourse.models": {"RECIPES": "tlcourse.authoring.pretrain", "pretrain": "tlcourse.authoring.pretrain"},
}


def find_moved(package, name):
    """What a package's __getattr__ gives for a name that has moved out of it.

    Raises:
        AttributeError: it never had one of that name.
    """
    if name not in NAMES[package]:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(NAMES[package][name]), name)


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
