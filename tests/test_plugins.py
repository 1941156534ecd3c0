"""Methods as files: found by name without being imported, those of other packages beside the built-in ones; and every
failure of one is a line that says what is wrong with it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from heretic_tui.engine.directions.methods.base import direction_method
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.metrics.judges.base import judge_named
from heretic_tui.engine.review.review import checks_named
from heretic_tui.errors import UsageError
from heretic_tui.plugins import CHECKS, DIRECTION_METHODS, EDIT_METHODS, JUDGES, METRICS, Kind, method, names, summary

# What hands the method with a name to the program, and sees that it follows the protocol.
TAKEN_BY: dict[Kind, Callable[[str], object]] = {
    METRICS: lambda name: metrics_named([name], "are refusals", 100),
    JUDGES: judge_named,
    EDIT_METHODS: edit_method,
    DIRECTION_METHODS: direction_method,
    CHECKS: lambda name: checks_named([name])[name],
}


class Greeter(Protocol):
    """What the methods of these tests have to have."""

    tone: str

    def greet(self) -> str: ...


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path that looks like an installed package: its modules are made by the tests, its entry points
    are written down here."""
    distribution = tmp_path / "greeters-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: greeters\nVersion: 1.0\n")
    points = ["good", "broken", "empty", "mute"]
    (distribution / "entry_points.txt").write_text(
        f"[{DIRECTION_METHODS.group}]\n"
        + "".join(f"{name} = greeters_{name}\n" for name in points)
        + f"[{METRICS.group}]\nrefusals = greeters_good\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in points:
        monkeypatch.delitem(sys.modules, f"greeters_{name}", raising=False)
    return tmp_path


def test_names_of_a_folder_and_of_entry_points(package: Path) -> None:
    found = names(DIRECTION_METHODS)
    assert found[0] == "mean_difference"
    assert found[-4:] == ("broken", "empty", "good", "mute")
    assert "base" not in found


def test_asking_for_names_imports_no_method() -> None:
    code = (
        "import sys; from heretic_tui import plugins\n"
        "print([plugins.names(kind) for kind in "
        "(plugins.METRICS, plugins.JUDGES, plugins.EDIT_METHODS, plugins.DIRECTION_METHODS, plugins.CHECKS)])\n"
        "print('torch' in sys.modules, 'heretic_tui.engine.metrics.refusals' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, loaded = done.stdout.splitlines()
    assert "'kl_divergence', 'kl_of_answers', 'refusals'" in listed
    assert "'markers'" in listed
    assert loaded == "False False"


def test_a_method_of_another_package(package: Path) -> None:
    (package / "greeters_good.py").write_text(
        "class Polite:\n    tone = 'polite'\n    def greet(self): return 'good day'\nMETHOD = Polite\n"
    )
    found = method(DIRECTION_METHODS, "good", Greeter)
    assert found().greet() == "good day"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "god",
            None,
            "there is no direction method 'god': did you mean 'good'? (there are: mean_difference, geometric",
        ),
        ("broken", "import no_such_package\n", "the package 'no_such_package' is not installed; mend it"),
        ("broken", "raise SystemExit(3)\n", "greeters) cannot be imported: 3; mend it, or uninstall its package"),
        ("empty", "", "holds no class METHOD: give greeters_empty a line METHOD ="),
        ("mute", "class Mute:\n    tone = ''\nMETHOD = Mute\n", "lacks 'greet', which every direction method has"),
    ],
)
def test_what_is_wrong_with_a_method_is_one_line(package: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (package / f"greeters_{name}.py").write_text(content)
    with pytest.raises(UsageError) as told:
        method(DIRECTION_METHODS, name, Greeter)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    if content is not None:
        assert f"greeters_{name} of the package greeters" in str(told.value)


def test_an_entry_point_that_names_no_module_hinders_no_other(package: Path) -> None:
    points = package / "greeters-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + f"[{JUDGES.group}]\nstrict = my-greeters.strict\n")
    assert names(JUDGES) == ("markers", "strict")
    with pytest.raises(UsageError, match=r"'strict' \(my-greeters.strict of the package greeters\) cannot be imported"):
        method(JUDGES, "strict")


def test_a_name_that_two_methods_have(package: Path) -> None:
    assert names(METRICS).count("refusals") == 1
    with pytest.raises(UsageError, match=r"two metrics are called 'refusals': the built-in one and greeters_good of"):
        method(METRICS, "refusals")


def test_nothing_of_another_kind_is_found(package: Path) -> None:
    assert "good" not in names(EDIT_METHODS)


def test_a_summary_is_read_from_the_file_without_importing_it(package: Path) -> None:
    assert summary(EDIT_METHODS, "subtract") == "the direction is taken out of each matrix as it is."
    (package / "greeters_broken.py").write_text('"""Broken: it greets\n\nnobody."""\nraise SystemExit\n')
    assert summary(DIRECTION_METHODS, "broken") == "it greets"
    assert summary(DIRECTION_METHODS, "good") == "", "it is not there"
    points = package / "greeters-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + f"[{JUDGES.group}]\nstrict = greeters_broken.strict\n")
    assert summary(JUDGES, "strict") == "", "its package cannot be imported"
    assert summary(DIRECTION_METHODS, "nobody") == ""


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        pytest.param(kind, file, id=f"{kind.what}-{file.stem}")
        for kind in TAKEN_BY
        for file in sorted(Path(*importlib.import_module(kind.package).__path__).glob("*.py"))
        if file.stem not in ("__init__", "base")
    ],
)
def test_every_file_of_a_folder_of_methods_is_one(kind: Kind, file: Path) -> None:
    assert file.stem in names(kind)
    assert TAKEN_BY[kind](file.stem)
    assert method(kind, file.stem).__module__ == f"{kind.package}.{file.stem}", "the class is of this file"
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.split("\n\n")[0].split())
    name, colon, words = sentence.partition(": ")
    assert name[:1].isupper(), "the docstring opens with a sentence"
    assert colon, "a name, a colon, and what the method does"
    assert words.endswith(".")
    assert summary(kind, file.stem) == words
