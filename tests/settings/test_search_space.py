"""The search space as a setting: from a name, a file and single bounds, and as a part of what makes a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.bounds import SPACES, bounds_of
from heretic_tui.errors import UsageError
from heretic_tui.settings.form import SettingsForm, command_line
from heretic_tui.settings.identity import identity
from heretic_tui.settings.record import from_record, to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.search_space import with_bounds
from heretic_tui.settings.sources import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_default_space_is_the_identity_that_runs_had() -> None:
    plain = identity(load_settings())
    assert not {"search_space", "search_bounds", "seed_trials", "on_top_of"} & plain.keys()
    again = with_bounds(load_settings(search_space="heretic-1", search_bounds={"min_weight": [0, 1]}))
    assert identity(again) == plain, "bounds that are those of the space change nothing"
    assert identity(load_settings(search_space="wide")) != plain
    assert identity(load_settings(search_bounds={"min_weight": [0.1, 1]})) != plain


def test_a_file_gives_some_bounds_and_the_space_of_the_others() -> None:
    Path("mine.toml").write_text('base = "wide"\nmin_weight = [0.2, 0.9]\nmixer_max_weight = [0.5, 2]\n')
    found = with_bounds(load_settings(search_space="mine.toml", search_bounds={"mixer_max_weight": "0.6..1"}))
    assert found.search_space == "wide"
    assert found.search_bounds == {"mixer_max_weight": (0.6, 1.0), "min_weight": (0.2, 0.9)}
    assert bounds_of(found.search_space, found.search_bounds)["direction_index"] == SPACES["wide"]["direction_index"]
    Path("mine.toml").unlink()
    assert with_bounds(found) == found, "a run needs the file no more"
    assert with_bounds(from_record(to_record(found), Settings(), "run.json")).search_bounds == found.search_bounds


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("min_wieght = [0, 1]", "mine.toml: unknown bound 'min_wieght': did you mean 'min_weight'?"),
        ("min_weight = [0.5, 0.5]", "mine.toml: min_weight: 0.5..0.5 cannot be"),
        ("min_weight = [0.5, nan]", "two finite numbers"),
        ('base = "wild"', "mine.toml: base is one of heretic-1, wide, not 'wild': did you mean 'wide'?"),
        ("base = 3", "mine.toml: base is one of"),
        ("min_weight = [", "mine.toml is not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_a_line(content: str, said: str) -> None:
    Path("mine.toml").write_text(content)
    with pytest.raises(UsageError) as raised:
        with_bounds(load_settings(search_space="mine.toml"))
    assert said in str(raised.value)


def test_neither_a_space_nor_a_file_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"search_space: expected heretic-1, wide, or a TOML file, not 'wied'.*'wide'"):
        with_bounds(load_settings(search_space="wied"))


def test_bounds_come_from_flags_variables_files_and_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"mixer_max_weight": (0.5, 3.0), "mlp_max_weight": (-0.5, 2.0)}
    flags = ["mixer_max_weight=0.5..3", "mlp_max_weight=-0.5..2"]
    assert load_settings({"search_bounds": flags}).search_bounds == wanted
    monkeypatch.setenv("HERETIC_TUI_SEARCH_BOUNDS", ",".join(flags))
    assert load_settings().search_bounds == wanted
    monkeypatch.delenv("HERETIC_TUI_SEARCH_BOUNDS")
    Path("heretic.toml").write_text("[search_bounds]\nmixer_max_weight = [0.5, 3]\nmlp_max_weight = [-0.5, 2]\n")
    assert load_settings().search_bounds == wanted
    Path("heretic.toml").unlink()
    form = SettingsForm({})
    form.set("search_bounds", "{ mixer_max_weight = [0.5, 3] }")
    form.set("search_space", "wide")
    assert form.settings.search_bounds == {"mixer_max_weight": (0.5, 3.0)}
    assert command_line(form.settings).endswith("--search-space wide --search-bounds mixer_max_weight=0.5..3")
    assert next(entry for entry in form.entries() if entry.key == "search_space").choices == ("heretic-1", "wide")
    entry = next(entry for entry in form.entries() if entry.key == "search_bounds")
    assert entry.words == "mixer_max_weight 0.5..3"
    assert form.check("search_bounds", entry.value) is None, "what is shown can be typed"
    assert "unknown bound" in (form.check("search_bounds", "{ mixer = [0, 1] }") or "")
