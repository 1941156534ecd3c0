"""The search: its space, and that an interrupted study asks for the same trials."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from heretic_tui.engine.anatomy.matrix_names import ATTENTION, MLP
from heretic_tui.engine.search import sampler
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.storage import open_study
from heretic_tui.engine.search.study import Search
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.parameters import Parameters

DEPTH = 30
SPACE = Space(DEPTH, (ATTENTION, MLP))


def opened(path: Path, startup: int = 4) -> Search:
    return Search(path, "study", 7, startup, SPACE)


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
        search.tell(number, value(asked[-1]))
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


def test_directions_that_are_weighted_one_by_one_are_further_dimensions(tmp_path: Path) -> None:
    each = Space(DEPTH, (ATTENTION, MLP), shares=2)
    assert list(each.dimensions)[: len(SPACE.dimensions)] == list(SPACE.dimensions), "the others come as they did"
    search = Search(tmp_path / "a", "study", 7, 4, each)
    for number in range(6):
        parameters = search.ask(number)
        kernels = parameters.components.values()
        assert all(len(kernel.shares) == 2 and min(kernel.shares) >= 0 for kernel in kernels)
        assert max(share for kernel in kernels for share in kernel.shares) <= 1
        assert each.makes(each.point(parameters), parameters)
        assert each.outside(parameters) is None
        assert Parameters.from_json(parameters.to_json()) == parameters
        search.tell(number, value(parameters))
    # At random each dimension has a seed of its own.
    alike = trials(tmp_path / "b", range(4), reopen=False)
    assert [replace(k, shares=()) for k in search.parameters(3).components.values()] == [*alike[3].components.values()]
    assert "shares" not in str(alike[3].to_json())
    # Without shares all directions are alike; and an edit of another number of directions is none of the space.
    assert each.outside(alike[3]) is None
    assert each.point(alike[3])[f"{MLP}.share_3"] == 1.0
    assert "shares for 3 directions" in str(SPACE.outside(search.parameters(3)))
    with pytest.raises(UsageError, match="shares must be a list of numbers"):
        Parameters.from_json({"components": {MLP: {**alike[3].components[MLP].to_json(), "shares": 0.5}}})


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
        search.tell(number, value(parameters))
    assert search.count == 8


def test_a_trial_is_entered_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    # One random trial, and one of TPE's.
    for number in (2, 6):
        path = tmp_path / f"whole-{number}"
        trials(path, range(number), reopen=False)
        search = opened(path)
        before = path.read_bytes()
        expected = search.ask(number)
        (line,) = path.read_bytes()[len(before) :].splitlines(keepends=True)
        for kept in (b"", line[: len(line) // 2], line):
            path.write_bytes(before + kept)
            again = opened(path)
            assert again.count == number + (kept == line)
            assert again.ask(number) == expected


def test_a_torn_last_line_and_a_left_over_lock_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a"
    expected = trials(tmp_path / "b", range(5), reopen=False)
    assert trials(path, range(4), reopen=False) == expected[:4]
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "tri')
    (tmp_path / "a.lock").write_text("")
    assert opened(path).ask(4) == expected[4]


def test_how_a_trial_ended_is_kept_as_it_was(tmp_path: Path) -> None:
    search = opened(tmp_path / "a")
    search.ask(0)
    search.fail(0, {"state": "failed", "reason": "no memory"})
    assert not search.is_open(0)
    assert search.told(0) is None
    parameters = search.ask(1)
    whole = {"state": "complete", "figures": {"kl_divergence": 0.123456789, "refusals": 3}, "prompts": 9}
    search.tell(1, (0.123456789, 3), whole)
    search.ask(2)
    search.tell(2, (0.6, 14.5), {"state": "dominated", "at_least": {"refusals": 4}})
    search.ask(3)
    again = opened(tmp_path / "a")
    assert again.ended(0) == {"state": "failed", "reason": "no memory"}
    assert again.ended(1) == whole
    assert again.told(1) == (0.12346, 3), "digits that hang on the batch are not told"
    assert again.ended(2) == {"state": "dominated", "at_least": {"refusals": 4}}
    assert again.ended(3) is None
    assert again.parameters(1) == parameters


def test_what_ended_since_changes_nothing(tmp_path: Path) -> None:
    """A trial knows of those that had ended when its turn came, be it asked for then or, after a stop, later."""
    early, late = opened(tmp_path / "a"), opened(tmp_path / "b")
    for search in (early, late):
        for number in range(8):
            asked = search.ask(number, min(number, 6))
            if number < 6 or search is late:
                search.tell(number, value(asked))
    assert early.ask(8, known=6) == late.ask(8, known=6)


def test_recorded_parameters_are_entered_as_they_were(tmp_path: Path) -> None:
    whole, entered = opened(tmp_path / "a"), opened(tmp_path / "b")
    for number in range(12):
        asked = whole.ask(number)
        entered.enter(number, asked, whole.sampled(number))
        for search in (whole, entered):
            search.tell(number, value(asked))
    assert entered.sampled(11) == whole.sampled(11)
    assert entered.ask(12) == whole.ask(12)
    # Journals of older versions hold the parameters alone, and the index of a direction per layer is not among them.
    bare = opened(tmp_path / "c")
    for number in range(12):
        bare.enter(number, whole.parameters(number), {})
        one, other = bare.parameters(number), whole.parameters(number)
        assert one.direction_index == other.direction_index
        for name, kernel in one.components.items():
            assert kernel.min_weight == pytest.approx(other.components[name].min_weight)
            assert kernel.max_weight == other.components[name].max_weight
    with pytest.raises(HereticError, match=r"trial 3 was to be entered"):
        opened(tmp_path / "d").enter(3, whole.parameters(3), {})


def test_a_study_begun_anew_keeps_what_comes_before(tmp_path: Path) -> None:
    search = opened(tmp_path / "a")
    asked = []
    for number in range(6):
        asked.append(search.ask(number))
        search.tell(number, value(asked[-1]), {"state": "complete", "number": number})
    search.forget([5, 3])
    again = opened(tmp_path / "a")
    assert again.count == search.count == 3
    assert again.ended(2) == {"state": "complete", "number": 2}
    assert again.ask(3) == asked[3]


def test_no_more_than_so_many_trials_are_learned_from_and_the_best_are_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "MOST_LEARNED", 12)
    monkeypatch.setattr(sampler, "MOST_IN_FRONT", 4)
    trials = [create_trial(state=TrialState.COMPLETE, values=[number / 10 + 1, 50]) for number in range(40)]
    trials += [create_trial(state=TrialState.RUNNING) for _ in range(2)]
    for number, trial in enumerate(trials):
        trial.number = number
    shown = [trial.number for trial in sampler.trials_shown(trials, 40)]
    assert shown == [0, 1, 2, 3, *range(32, 42)]
    assert sampler.front_ranks([(0, 0), (1, 1), (2, 0.5), (0.5, 2), (3, 3)]) == [0, 1, 1, 1, 2]


def test_another_storage(tmp_path: Path) -> None:
    search = Search(f"sqlite:///{tmp_path / 'study.db'}", "study", 7, 4, SPACE)
    assert search.ask(0) == opened(tmp_path / "a").ask(0)
    search.tell(0, (0.5, 3), {"state": "complete"})
    search.forget([0])
    assert search.count == 0


def test_a_storage_that_cannot_be_opened_is_told_with_the_reason_and_nothing_is_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 500)
    for storage, said in {
        "nonsense://x": "no storage that can be opened",
        "not a URL": "no storage that can be opened",
        f"sqlite:///{tmp_path}/no/such/folder.db": "check that it is there",
        f"sqlite:///{tmp_path}/junk.db": "check that the URL names the right one",
        "postgresql://me:geheim@localhost/studies": "driver",
    }.items():
        with pytest.raises(UsageError, match=said) as raised:
            open_study(storage, "study")
        text = str(raised.value)
        assert "delete" not in text
        assert "geheim" not in text
        assert "\n" not in text


def test_a_wrong_password_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OperationalError("connect", {}, Exception('password authentication failed for user "me"'))

    monkeypatch.setattr("optuna.create_study", refuse)
    with pytest.raises(UsageError, match=r"password authentication failed.*check that it is there") as raised:
        open_study("postgresql://me:geheim@db/studies", "study")
    assert "geheim" not in str(raised.value)
    assert "delete" not in str(raised.value)


def test_a_journal_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    for content in (b"junk\n", b"{}\n", b'{"op_code": 4}\n', b"[" * 100_000 + b"\n", b"\xff\xfe\n"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"is damaged .*: put back a copy, or move it aside"):
            open_study(path, "study")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no regular file"):
        open_study(path, "study")
