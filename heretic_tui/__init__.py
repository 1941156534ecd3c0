"""heretic-tui: a terminal workbench for directional ablation of open-weight language models.

The names in `__all__` are for other programs, and are kept stable (docs/library.md). Each name is imported when it is
first asked for, so that `import heretic_tui` loads neither torch nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heretic_tui import events
    from heretic_tui.control import Control
    from heretic_tui.engine.directions.find import find_directions
    from heretic_tui.engine.directions.methods.base import DirectionMethod
    from heretic_tui.engine.edits.attach import attached
    from heretic_tui.engine.edits.methods.base import EditMethod
    from heretic_tui.engine.inputs.check import check_inputs
    from heretic_tui.engine.metrics.base import FirstTokenMetric, ResponseMetric
    from heretic_tui.engine.metrics.judges.base import Judge
    from heretic_tui.engine.model.load import load_model
    from heretic_tui.engine.session.export import export_trial
    from heretic_tui.engine.session.reproduce import reproduce
    from heretic_tui.engine.session.session import Session
    from heretic_tui.engine.session.workbench import Workbench
    from heretic_tui.figures import Figure
    from heretic_tui.parameters import Kernel, Parameters
    from heretic_tui.run.run import Run
    from heretic_tui.settings.schema import PromptSet, Settings
    from heretic_tui.settings.sources import load_settings
    from heretic_tui.work import Work

__version__ = "0.1.0"

__all__ = [
    "Control",
    "DirectionMethod",
    "EditMethod",
    "Figure",
    "FirstTokenMetric",
    "Judge",
    "Kernel",
    "Parameters",
    "PromptSet",
    "ResponseMetric",
    "Run",
    "Session",
    "Settings",
    "Work",
    "Workbench",
    "__version__",
    "attached",
    "check_inputs",
    "events",
    "export_trial",
    "find_directions",
    "load_model",
    "load_settings",
    "reproduce",
]

# The module that each name is from; `events` is one itself.
_MODULES = {
    "Control": "control",
    "DirectionMethod": "engine.directions.methods.base",
    "EditMethod": "engine.edits.methods.base",
    "Figure": "figures",
    "FirstTokenMetric": "engine.metrics.base",
    "Judge": "engine.metrics.judges.base",
    "Kernel": "parameters",
    "Parameters": "parameters",
    "PromptSet": "settings.schema",
    "ResponseMetric": "engine.metrics.base",
    "Run": "run.run",
    "Session": "engine.session.session",
    "Settings": "settings.schema",
    "Work": "work",
    "Workbench": "engine.session.workbench",
    "attached": "engine.edits.attach",
    "check_inputs": "engine.inputs.check",
    "export_trial": "engine.session.export",
    "find_directions": "engine.directions.find",
    "load_model": "engine.model.load",
    "load_settings": "settings.sources",
    "reproduce": "engine.session.reproduce",
}

# Type checkers read the imports above: this function would let any name pass.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "events":
            return import_module("heretic_tui.events")
        if name not in _MODULES:
            raise AttributeError(f"module 'heretic_tui' has no attribute {name!r}")
        return getattr(import_module(f"heretic_tui.{_MODULES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
