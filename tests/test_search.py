"""The search: its space, and that an interrupted study asks for the same trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.engine.parameters import Parameters
from heretic_tui.engine.roles import ATTENTION, MLP
from heretic_tui.engine.search import Search
from heretic_tui.errors import UsageError

DEPTH = 30


def opened(path: Path, startup: int = 4) -> Search:
    return Search(path, "study", 7, startup, DEPTH, (ATTENTION, MLP))


def value(parameters: Parameters) -> tuple[float, int]:
    """Some smooth function of the parameters, so that TPE has something to follow."""
    attention = parameters.components[ATTENTION]
    distance = abs(attention.max_weight_position - 20) + abs((parameters.direction_index or 5) - 15)
    return distance / 10, int(100 * abs(attention.max_weight - 1.2))


def trials(path: Path, numbers: range, reopen: bool, startup: int = 4) -> list[Parameters]:
    asked = []
    search = opened(path, startup)
    for number in numbers:
        if reopen:
            search = opened(path, startup)
        asked.append(search.ask(number))
        search.tell(number, *value(asked[-1]))
    return asked


def test_the_space(tmp_path: Path) -> None:
    last = DEPTH - 1
    asked = trials(tmp_path / "a", range(60), reopen=False, startup=60)
    indices = [p.direction_index for p in asked if p.direction_index is not None]
    assert 5 < len(indices) < 55, "both scopes occur"
    assert all(0.4 * last <= index <= 0.9 * last for index in indices)
    for parameters in asked:
        for name, kernel in parameters.components.items():
            assert 0.6 * last <= kernel.max_weight_position <= last
            assert 1 <= kernel.min_weight_distance <= 0.6 * last
            assert 0 <= kernel.min_weight <= kernel.max_weight <= 1.5
            assert name == MLP or kernel.max_weight >= 0.8
    assert any(p.components[MLP].max_weight == 0 for p in asked), "the MLP edit can switch off"


def test_a_study_that_is_opened_for_every_trial_asks_for_the_same(tmp_path: Path) -> None:
    assert trials(tmp_path / "a", range(15), reopen=False) == trials(tmp_path / "b", range(15), reopen=True)


def test_a_trial_that_was_left_running_is_taken_up_under_its_number(tmp_path: Path) -> None:
    expected = trials(tmp_path / "a", range(8), reopen=False)
    search = opened(tmp_path / "b")
    for number in range(8):
        search.ask(number)  # and the process dies
        search = opened(tmp_path / "b")
        parameters = search.ask(number)
        assert parameters == expected[number]
        search.tell(number, *value(parameters))
    assert search.count == 8


def test_a_trial_killed_between_two_of_its_parameters_is_asked_for_with_the_same(tmp_path: Path) -> None:
    # One random trial, and one of TPE's.
    for number in (2, 6):
        path = tmp_path / f"whole-{number}"
        trials(path, range(number), reopen=False)
        search = opened(path)
        before = path.read_bytes()
        expected = search.ask(number)
        lines = path.read_bytes()[len(before) :].splitlines(keepends=True)
        assert len(lines) >= 11, "the trial itself and its ten parameters"
        for kept in range(len(lines)):
            cut = tmp_path / f"cut-{number}-{kept}"
            cut.write_bytes(before + b"".join(lines[:kept]))
            assert opened(cut).ask(number) == expected


def test_a_torn_last_line_and_a_left_over_lock_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a"
    expected = trials(tmp_path / "b", range(5), reopen=False)
    assert trials(path, range(4), reopen=False) == expected[:4]
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "tri')
    (tmp_path / "a.lock").write_text("")
    assert opened(path).ask(4) == expected[4]


def test_failed_trials_have_no_result_and_the_search_goes_on(tmp_path: Path) -> None:
    search = opened(tmp_path / "a")
    search.ask(0)
    search.fail(0)
    assert search.result(0) is None
    assert not search.is_open(0)
    parameters = search.ask(1)
    search.tell(1, 0.5, 3)
    assert search.result(1) == (0.5, 3, False)
    search.ask(2)
    search.tell(2, 0.6, 14.5, estimated=True)
    assert search.result(2) == (0.6, 14.5, True)
    assert search.parameters(1) == parameters


def test_another_storage_and_a_wrong_one(tmp_path: Path) -> None:
    search = Search(f"sqlite:///{tmp_path / 'study.db'}", "study", 7, 4, DEPTH, (ATTENTION, MLP))
    assert search.ask(0) == opened(tmp_path / "a").ask(0)
    with pytest.raises(UsageError, match="cannot be read"):
        Search("nonsense://x", "study", 7, 4, DEPTH, (ATTENTION,))
