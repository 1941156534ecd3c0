"""Who may import whom: each package in a fresh interpreter, and what is then in sys.modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "optuna", "peft", "datasets", "accelerate"}
SCREEN = {"textual", "rich"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after a statement."""
    code = f"{statement}\nimport sys\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def every(package: str) -> str:
    return (
        "import importlib, pkgutil\n"
        f"package = importlib.import_module({package!r})\n"
        f"for found in pkgutil.walk_packages(package.__path__, {package!r} + '.'):\n"
        "    importlib.import_module(found.name)"
    )


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        (every("heretic_tui.engine"), SCREEN),
        (every("heretic_tui.run"), SCREEN | HEAVY),
        (every("heretic_tui.report"), SCREEN | HEAVY),
        (every("heretic_tui.tui"), HEAVY),
        ("import heretic_tui.cli.main, heretic_tui.demo.settings", SCREEN | HEAVY | {"pydantic"}),
        (every("heretic_tui.settings"), SCREEN | HEAVY),
    ],
)
def test_what_a_package_must_never_load(statement: str, never: set[str]) -> None:
    assert loaded_by(statement) & never == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["config"], ["runs"], ["--version"]])
def test_short_commands_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"from heretic_tui.cli.main import run_command\ntry:\n    run_command({arguments!r})\nexcept SystemExit: pass\n"
    )
    # The modules come last, after what the command printed.
    assert loaded_by(code) & (SCREEN | HEAVY) == set()
