"""The package as a library: its names, and the examples of docs/library.md, run as they stand there."""

from __future__ import annotations

import ast
import doctest
import os
from pathlib import Path

import pytest

import heretic_tui

DOCS = Path(heretic_tui.__file__).parents[1] / "docs"


def test_every_public_name_is_there_and_where_type_checkers_look_for_it() -> None:
    tree = ast.parse(Path(heretic_tui.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    typed = {alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*typed, "__version__"} == set(heretic_tui.__all__)
    for name, module in typed.items():
        found = getattr(heretic_tui, name)
        assert getattr(found, "__module__", module) == module, name
    assert set(heretic_tui.__all__) <= set(dir(heretic_tui))
    with pytest.raises(AttributeError, match="module 'heretic_tui' has no attribute 'nothing'"):
        _ = heretic_tui.nothing  # type: ignore[attr-defined]


def test_the_page_names_every_public_name() -> None:
    page = (DOCS / "library.md").read_text(encoding="utf-8")
    table = page[page.index("## All names") :]
    assert [name for name in heretic_tui.__all__ if name != "__version__" and f"`{name}" not in table] == []


def test_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "library.md").read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, {}, "library.md", None, 0)
    assert len(examples.examples) > 10
    told: list[str] = []
    doctest.DocTestRunner().run(examples, out=told.append)
    assert told == [], "".join(told)
    assert os.listdir(tmp_path) == ["runs"]
