"""Who may import whom, seen in fresh interpreters: each part of the package, and what is then in memory.

The contracts in pyproject.toml (`make lint`) check the imports that are written. This checks the imports that happen,
those that other libraries make included.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import heretic_tui

# The modules at the top of the package; their order is a contract in pyproject.toml.
FOLDER = Path(heretic_tui.__file__).parent
VOCABULARY = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("__"))
HEAVY = {"torch", "transformers", "optuna", "peft", "datasets", "accelerate"}
SCREEN = {"textual", "rich"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a statement brings into memory, beyond those of a bare interpreter."""
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        f"{statement}\nprint('\\n'.join({{name.partition('.')[0] for name in set(sys.modules) - before}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def every(package: str) -> str:
    return (
        "import importlib, pkgutil\n"
        f"package = importlib.import_module({package!r})\n"
        f"for found in pkgutil.walk_packages(package.__path__, {package!r} + '.'):\n"
        "    importlib.import_module(found.name)"
    )


def test_the_vocabulary_needs_the_standard_library_alone() -> None:
    loaded = loaded_by("\n".join(f"import heretic_tui.{name}" for name in VOCABULARY))
    assert {name for name in loaded if name not in sys.stdlib_module_names} == {"heretic_tui"}


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import heretic_tui", SCREEN | HEAVY | {"numpy", "pydantic"}),
        (every("heretic_tui.settings"), SCREEN | HEAVY | {"numpy"}),
        (every("heretic_tui.run"), SCREEN | HEAVY),
        (every("heretic_tui.report"), SCREEN | HEAVY),
        (every("heretic_tui.engine"), SCREEN),
        (every("heretic_tui.tui"), HEAVY),
        (every("heretic_tui.doctor"), SCREEN | HEAVY | {"pydantic"}),
        (every("heretic_tui.cli"), SCREEN | HEAVY | {"pydantic"}),
        (every("heretic_tui.demo"), SCREEN | HEAVY | {"pydantic"}),
    ],
)
def test_what_a_part_of_the_package_must_never_load(statement: str, never: set[str]) -> None:
    assert loaded_by(statement) & never == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["config"], ["runs"], ["--version"]])
def test_short_commands_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"from heretic_tui.cli.main import run_command\ntry:\n    run_command({arguments!r})\nexcept SystemExit: pass\n"
    )
    # The modules come last, after what the command printed.
    assert loaded_by(code) & (SCREEN | HEAVY) == set()


# What a module may not change when it is imported, as one line.
_STATE = """
def state():
    import faulthandler, logging, os, signal, sys, warnings
    loggers = {name: logging.getLogger(name) for name in list(logging.root.manager.loggerDict)}
    loggers[""] = logging.root
    levels = {name: logger.level for name, logger in loggers.items() if logger.level}
    handlers = {name: len(logger.handlers) for name, logger in loggers.items() if logger.handlers}
    return repr((
        sorted(os.environ.items()), sorted(map(str, warnings.filters)), levels, handlers, logging.root.disabled,
        [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())], faulthandler.is_enabled(),
        sys.getswitchinterval(), sys.getrecursionlimit(), sys.excepthook is sys.__excepthook__, os.getcwd(),
    ))
"""


def test_importing_a_module_changes_nothing_outside_it() -> None:
    """All of ours after all libraries that they import: what is different then is our doing."""
    libraries = loaded_modules(every("heretic_tui"))
    code = (
        f"{_STATE}\nimport importlib, sys\n"
        f"for name in {libraries!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception: pass  # parts of libraries that are made by them, and not found by name\n"
        f"before = state()\n{every('heretic_tui')}\nafter = state()\n"
        "assert before == after, f'{before}\\n{after}'"
    )
    # There are more modules than a command line has room for.
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def loaded_modules(statement: str) -> list[str]:
    """Modules of others, in the order in which a statement brings them into memory."""
    code = (
        f"import sys\nbefore = set(sys.modules)\n{statement}\n"
        "print('\\n'.join(name for name in sys.modules if name not in before and 'heretic_tui' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]
