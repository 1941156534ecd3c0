"""heretic-tui: a terminal workbench for directional ablation of open-weight language models.

The names in `__all__` are for other programs, and are kept stable (docs/library.md). Each name is imported when it is
first asked for, so that `import heretic_tui` loads neither torch nor pydantic. Their types are
in `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module

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
    "PromptSet": "settings.prompt_sets",
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


def __getattr__(name: str) -> object:
    if name == "events":
        return import_module("heretic_tui.events")
    if name not in _MODULES:
        raise AttributeError(f"module 'heretic_tui' has no attribute {name!r}")
    return getattr(import_module(f"heretic_tui.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
