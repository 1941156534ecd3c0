"""Trials that a search begins with: made to fit, measured first and once, and no reason to draw others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.bounds import WIDE
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.session.seeding import built_in, fitted, scaled
from heretic_tui.engine.session.session import Session
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.overview import details
from heretic_tui.run.seeds import Seed
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings
from tests.support.sessions import Watched, flags_of, is_ready

ATTENTION, MLP = "attn.o_proj", "mlp.down_proj"
DEPTH = 31
SPACE = Space(DEPTH, (ATTENTION, MLP))
KERNEL = Kernel(1.2, 24.0, 0.6, 9.0)


def seed(layers: int | None = None, index: float | None = None, **components: Kernel) -> Seed:
    names = {"attention": ATTENTION, "mlp": MLP}
    return Seed("x.json", Parameters(index, {names.get(name, name): each for name, each in components.items()}), layers)


def test_an_edit_of_this_space_is_taken_as_it_is() -> None:
    given = seed(DEPTH, 15.0, attention=KERNEL, mlp=KERNEL)
    assert fitted(given, SPACE) == (given.parameters, [])


def test_an_edit_of_another_depth_is_scaled_and_said_to_be() -> None:
    given = seed(16, 7.5, attention=Kernel(1.2, 12.0, 0.6, 4.5), mlp=KERNEL)
    found, notes = fitted(given, SPACE)
    assert found.direction_index == 15.0
    assert found.components[ATTENTION] == Kernel(1.2, 24.0, 0.6, 9.0)
    assert notes[0] == "it is from a model with 16 layers, and was scaled to 31"
    assert given.parameters is not None
    assert scaled(scaled(given.parameters, 16, 31), 31, 16) == given.parameters


def test_an_edit_outside_is_moved_to_the_nearest_point_and_said_to_be() -> None:
    given = seed(None, None, attention=Kernel(2.5, 24.0, 0.6, 9.0), mlp=KERNEL)
    found, notes = fitted(given, SPACE)
    assert notes == [
        "max weight of attn.o_proj is 2.5: the search goes from 0.8 to 1.5; the nearest point of the space is measured"
    ]
    assert SPACE.parameters(SPACE.point(found)).components[ATTENTION].max_weight == 1.5
    assert fitted(given, Space(DEPTH, (ATTENTION, MLP), bounds=WIDE))[1] == []


def test_components_have_to_be_the_models() -> None:
    with pytest.raises(UsageError, match=r"no component 'moe.experts' \(it has attn.o_proj, mlp.down_proj\)"):
        fitted(seed(None, None, attention=KERNEL, **{"moe.experts": KERNEL}), SPACE)
    with pytest.raises(UsageError, match=r"says nothing of attn\.o_proj"):
        fitted(seed(mlp=KERNEL), SPACE)
    # Where the space lets it be, what is not named is not edited.
    found, _ = fitted(seed(attention=KERNEL), SPACE)
    assert found.components[MLP].max_weight == 0


def test_directions_that_the_run_does_not_have_are_told() -> None:
    given = Seed("x", Parameters(None, {ATTENTION: KERNEL, MLP: KERNEL}, "leace"))
    assert fitted(given, SPACE)[0].direction_method is None
    assert "leace" in fitted(given, SPACE)[1][0]
    several = Space(DEPTH, (ATTENTION, MLP), methods={"mean_difference": 0, "leace": 0})
    assert fitted(given, several) == (given.parameters, [])


@pytest.mark.parametrize("depth", [1, 2, 12, 31])
@pytest.mark.parametrize("wide", [False, True])
def test_those_that_are_built_in_lie_in_the_space(depth: int, wide: bool) -> None:
    space = Space(depth, (ATTENTION, MLP), bounds=WIDE) if wide else Space(depth, (ATTENTION, MLP))
    found = built_in(space)
    assert len(found) == 4
    assert [space.outside(each) for each in found.values()] == [None] * 4
    whole = found["weight 1 in all layers"].components[ATTENTION]
    assert [whole.strength(layer) for layer in range(depth)] == [1.0] * depth


def test_those_that_are_built_in_are_left_out_where_the_space_does_not_have_them() -> None:
    narrow = Space(DEPTH, (ATTENTION, MLP), bounds={**WIDE, "direction_index": (0.7, 1), "mixer_max_weight": (1.2, 2)})
    assert list(built_in(narrow)) == ["each layer's own direction, the middle of the space", "token mixers alone"]


# With a model


@pytest.fixture
def flags(tiny_folder: Path, sets: list[str], tmp_path: Path) -> dict[str, Any]:
    return flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=4, n_startup_trials=100, trials_at_once=2)


def own(state: RunState) -> list[Parameters | None]:
    return [trial.parameters for _, trial in sorted(state.trials.items()) if not trial.by_hand]


def searched(flags: dict[str, Any]) -> Watched:
    run = Watched(flags)
    run.wait(is_ready)
    run.end()
    return run


def edit_file(path: Path, state: RunState) -> str:
    """An edit that another run measured, and one that lies outside of the space."""
    known = state.trials[1].required_parameters.to_json()
    far = json.loads(json.dumps(known))
    far["components"][ATTENTION]["max_weight"] = 2.5
    path.write_text(json.dumps([known, far]))
    return str(path)


def test_seeds_are_measured_first_and_once_and_change_nothing_that_is_drawn(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    plain = searched(flags)
    runs = {"runs_dir": str(tmp_path / "others")}
    file = edit_file(tmp_path / "mine.json", plain.session.state)
    named = [file, f"run:{plain.session.folder.path}", "built-in"]
    given = {**flags, **runs, "seed_trials": named}

    def abort_in_the_second(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.TrialFinished) and event.number == 1:
            control.abort()

    first = Watched(given, abort_in_the_second)
    first.end()
    assert first.session.state.outcome == "interrupted"
    # What they were read from may change: the run keeps to what it began with.
    Path(file).unlink()
    run = searched(given)
    state = run.session.state
    assert run.session.folder.path == first.session.folder.path
    seeds = [trial for _, trial in sorted(state.trials.items()) if trial.by_hand]
    assert [trial.number for trial in seeds] == list(range(len(seeds))), "before the search draws any"
    origins = [trial.origin for trial in seeds]
    assert origins[:2] == ["mine.json, number 1", "mine.json, number 2"]
    front = {f"{plain.session.folder.name}, trial {trial.number}" for trial in plain.session.state.front()}
    # The edit that stands in the file too is measured once.
    assert set(origins[2:-4]) == front - {f"{plain.session.folder.name}, trial 1"}
    assert [origin.partition(":")[0] for origin in origins[-4:]] == ["built-in"] * 4
    assert all(trial.state == "complete" for trial in seeds)
    assert seeds[1].required_parameters.components[ATTENTION].max_weight == 1.5
    notes = [notice.text for notice in state.notices]
    assert sum("max weight of attn.o_proj is 2.5" in note for note in notes) == 1, "said once, not at every resumption"
    assert own(state) == own(plain.session.state)
    assert state.finished == 4
    again = searched(given).session
    assert len(again.state.trials) == len(state.trials)
    shown = details(again.folder).to_json()["trials"]
    assert [each["origin"] for each in shown] == [*origins, *[None] * 4]  # type: ignore[attr-defined]


def test_other_seeds_are_another_run_and_a_bad_one_is_told_before_the_model_is_loaded(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    plain = check_inputs(load_settings(flags)).identity
    assert "seed_trials" not in plain
    assert check_inputs(load_settings({**flags, "seed_trials": ["built-in"]})).identity != plain
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(Parameters(None, {"moe.experts": KERNEL}).to_json()))
    for named, said in (
        (str(bad), "bad.json: the model has no component 'moe.experts'"),
        ("nowhere.md", "no such file"),
    ):
        settings = load_settings({**flags, "seed_trials": [named]})
        with pytest.raises(UsageError, match=said):
            Session(check_inputs(settings), Control())
    assert not list((tmp_path / "runs").glob("*")), "nothing is left of it"


def test_a_run_has_the_space_that_it_was_begun_with(flags: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text('base = "wide"\nmixer_max_weight = [1.6, 2.0]\n')
    run = searched({**flags, "search_space": str(file)})
    file.unlink()
    state, folder = run.session.state, run.session.folder
    assert state.ranges[f"{ATTENTION}.max_weight"] == (1.6, 2.0)
    assert state.ranges["direction_index"][0] == pytest.approx(0.1 * (state.model.layers - 1))  # type: ignore[union-attr]
    drawn = [trial.required_parameters.components[ATTENTION].max_weight for trial in state.trials.values()]
    assert all(1.6 <= weight <= 2.0 for weight in drawn)
    assert details(folder).space == "wide, with mixer_max_weight 1.6..2"
    assert state.bounds == {**WIDE, "mixer_max_weight": (1.6, 2.0)}
    same = {"search_space": "wide", "search_bounds": {"mixer_max_weight": [1.6, 2]}}
    assert searched({**flags, **same}).session.folder.path == folder.path, "the same bounds are the same run"
