"""Packages beside what the program asks for."""

from __future__ import annotations

from pathlib import Path

from heretic_tui.doctor.packages import Asked, asked_for, extra_findings, look_at_python, package_findings

ASKED = Asked(
    ">=3.11",
    ["torch>=2.7", "geom-median>=0.1", "nowhere>=1; sys_platform == 'nowhere'"],
    {"review": ["lingua-language-detector>=2.1"], "dev": ["pytest"]},
    {"torch": "2.13.0", "geom-median": "0.1.0"},
)


def test_what_this_checkout_asks_for() -> None:
    asked = asked_for()
    assert "torch>=2.7" in asked.needed
    assert "review" in asked.extras
    assert asked.tested["torch"]
    assert look_at_python()[0].state == "ok"


def test_what_an_installed_package_asks_for(tmp_path: Path) -> None:
    """A wheel has no pyproject.toml beside the package: its metadata tells."""
    asked = asked_for(tmp_path / "heretic_tui")
    assert any(need.startswith("torch") for need in asked.needed)
    assert "dev" in asked.extras
    assert not any("extra ==" in need for need in asked.needed)
    assert asked.tested == {}


def test_what_is_missing_or_too_old_is_named_with_the_command() -> None:
    found, _ = package_findings(ASKED, {"torch": "2.1.0"})
    assert found.state == "fix"
    assert found.said == "torch 2.1.0 is not >=2.7, geom-median is missing"
    assert found.todo == 'pip install "torch>=2.7" "geom-median>=0.1"'


def test_other_versions_than_those_of_the_tests() -> None:
    """What a version says of how it was built makes no difference."""
    whole, same = package_findings(ASKED, {"torch": "2.13.0+cpu", "geom-median": "0.1.0"})
    assert (whole.state, same.state) == ("ok", "ok")
    _, other = package_findings(ASKED, {"torch": "2.14.0", "geom-median": "0.1.0"})
    assert other.state == "note"
    assert "torch 2.14.0 for 2.13.0" in other.said


def test_extras_say_what_they_are_for() -> None:
    (lacking,) = extra_findings(ASKED, {})
    assert lacking.line().startswith("note  extra review     for the language of an answer, in reviews; lingua-")
    assert lacking.todo == 'pip install "heretic-tui[review]"'
    (there,) = extra_findings(ASKED, {"lingua-language-detector": "2.2.0"})
    assert there.state == "ok"
