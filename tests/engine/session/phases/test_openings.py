"""How refusals begin is found once a run, said, kept, and found again where what was kept is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.session.phases import openings as phase
from heretic_tui.engine.session.phases.baseline import metrics_of
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import UsageError
from heretic_tui.events import BaselineMeasured, Event, Notice
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

COMPONENTS = ("attn.o_proj", "mlp.down_proj")
EDIT = Parameters(None, dict.fromkeys(COMPONENTS, Kernel(0.5, 5, 0.5, 10)))
Open = Callable[..., tuple[Workbench, list[Event]]]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """A workbench of the demo's model with a few of its prompts, and what it tells."""
    given = settings_of_the_demo()
    for name, count in {"good_prompts": 30, "bad_prompts": 30, "good_evaluation_prompts": 24}.items():
        given[name] = {**cast(dict[str, str], given[name]), "split": f"[:{count}]"}
    bad = {**cast(dict[str, str], given["bad_evaluation_prompts"]), "split": "[:24]"}
    given |= {"bad_evaluation_prompts": bad, "max_response_length": 24, "batch_size": 24, "response_prefix": ""}

    def open_one(folder: str = "run", **more: object) -> tuple[Workbench, list[Event]]:
        told: list[Event] = []
        settings = load_settings({**given, **more}, environment=False)
        return Workbench.open(settings, folder=tmp_path / folder, work=Work(told.append)), told

    return open_one


def notes(told: list[Event], about: str = "before a response is decoded") -> list[str]:
    return [event.text for event in told if isinstance(event, Notice) and about in event.text]


def found(bench: Workbench) -> object:
    openings = bench.openings
    if openings is None:
        return bench.no_openings
    assert isinstance(openings, Openings)
    parting = openings.parting
    return list(parting.ids), [list(g) for g in parting.given], [list(p) for p in parting.places], openings.scale


def test_it_is_said_and_kept_and_found_again_where_that_is_damaged(opened: Open) -> None:
    bench, told = opened()
    first = found(bench)
    (note,) = notes(told)
    assert "by the first token ('I'" in note
    assert isinstance(first, tuple)
    again, told = opened()
    assert found(again) == first
    assert notes(told) == [], "it was not looked for again"
    bench.run.folder.openings.write_text('{"format": 1}')
    third, told = opened()
    assert found(third) == first
    assert "openings.json is damaged" in notes(told, "it is not used")[0]
    assert len(notes(told)) == 1


def test_a_model_that_refuses_nothing_has_none_and_says_why(opened: Open) -> None:
    bench, told = opened(refusal_markers=["\x7f never"])
    assert bench.openings is None
    assert bench.no_openings == "the original model refuses none of the harmful prompts"
    assert notes(told) == [f"Refusals cannot be expected before a response is decoded: {bench.no_openings}."]
    assert bench.job(0, EDIT).openings is None


@pytest.mark.parametrize(
    ("some", "said"),
    [({"refusal_markers": ["not able"]}, "behind what responses begin with"), ({}, "by the first token")],
)
def test_where_refusals_are_added_the_missing_ones_are_the_rest(
    opened: Open, some: dict[str, object], said: str
) -> None:
    # Of the original model's responses some are refusals, or all.
    bench, told = opened(steer="add", **some)
    missing = sum(response.verdict.refused for response in bench.baseline.responses)
    assert (0 < missing < 24) is bool(some)
    openings = bench.openings
    assert openings is not None
    (note,) = notes(told)
    assert note.startswith("Refusals are expected before a response is decoded ")
    assert said in note
    assert note.endswith("; missing refusals are the rest.")
    again, _ = opened(steer="add", **some)
    assert found(again) == found(bench)
    edited = bench.job(None, EDIT)
    verdicts = bench.baseline.measure(edited).figures["refusals"]
    expected = openings.per_prompt(bench.baseline.pool, edited, range(24))
    assert float(expected.sum()) == pytest.approx(verdicts, abs=6)
    assert float(openings.base.sum()) == pytest.approx(missing, abs=6)


def test_missing_refusals_of_a_model_that_refuses_nothing_cannot_be_expected(opened: Open) -> None:
    bench, told = opened(refusal_markers=["\x7f never"], steer="add")
    assert bench.no_openings == "the original model refuses none of the harmful prompts"
    assert notes(told) == [f"Missing refusals cannot be expected before a response is decoded: {bench.no_openings}."]


def test_trials_have_the_figure_where_the_settings_name_it(opened: Open) -> None:
    bench, told = opened(figures=["expected_refusals"])
    openings = bench.openings
    assert openings is not None
    base = [event for event in told if isinstance(event, BaselineMeasured)][-1]
    assert base.figures["expected_refusals"] == pytest.approx(float(openings.base.sum()))
    assert base.harmless == len(bench.tokens["good_evaluation_prompts"])
    job = bench.job(0, EDIT)
    measured = bench.baseline.measure(job).figures
    rows = range(len(bench.tokens["bad_evaluation_prompts"]))
    expected = openings.per_prompt(bench.baseline.pool, job, rows)
    assert measured["expected_refusals"] == pytest.approx(float(expected.sum()), abs=1e-4)
    assert bool(torch.isfinite(expected).all())
    # What is no trial is compared by verdicts.
    assert "expected_refusals" not in bench.measure(EDIT).figures


def test_screened_runs_have_it_among_their_figures() -> None:
    def keys(**more: object) -> list[str]:
        settings = load_settings({**settings_of_the_demo(), **more}, environment=False)
        return [figure.key for figure in metrics_of(settings).figures]

    objectives, expected = ["kl_divergence", "refusals"], "expected_refusals"
    assert keys(screening="off") == [*objectives, "broken"]
    assert keys(screening="safe") == [*objectives, "broken", expected]
    assert keys(screening="fast", figures=[expected]) == [*objectives, expected, "broken"]
    assert keys(screening="off", figures=[expected], count_broken_as_refused=False) == [*objectives, expected]


def test_it_is_no_objective() -> None:
    objectives = ["kl_divergence", "expected_refusals"]
    with pytest.raises(
        UsageError,
        match=r"objectives.*expected two of benchmark, broken, changed_answers, kl_divergence",
    ):
        load_settings({**settings_of_the_demo(), "objectives": objectives}, environment=False)


def test_refusals_that_begin_as_answers_do_are_told_behind_what_both_begin_with(opened: Open) -> None:
    # All of them begin with "I": those count as refused that go on with "'m not able".
    bench, told = opened(refusal_markers=["not able"])
    refused = [response.verdict.refused for response in bench.baseline.responses]
    assert 3 <= sum(refused) <= 21
    openings = bench.openings
    assert openings is not None
    (note,) = notes(told)
    assert "behind what responses begin with" in note
    assert not openings.parting.is_at_once
    bad = torch.tensor(refused)
    assert float(openings.base[bad].mean()) > float(openings.base[~bad].mean()) + 0.1
    assert float(note.split("curve ")[1].split()[0]) > 0.9, "the first token alone gives 0.8"
    edited = bench.job(None, EDIT)
    verdicts = bench.baseline.measure(edited).figures["refusals"]
    expected = openings.per_prompt(bench.baseline.pool, edited, range(24))
    assert float(expected.sum()) == pytest.approx(verdicts, abs=6)


def test_where_no_edit_changes_a_verdict_the_base_model_itself_has_to_tell(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Edits of nothing, in place of those that take refusals away.
    monkeypatch.setattr(phase, "_WEIGHTS", (0.001,))
    monkeypatch.setattr(phase, "_FURTHER", ())
    bench, told = opened()
    assert bench.openings is not None
    (note,) = notes(told)
    assert "by the first token" in note
    assert "ROC" not in note
