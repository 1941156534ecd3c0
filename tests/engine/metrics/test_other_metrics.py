"""Metrics and a judge of another package: searched for, shown, resumed and exported like the built-in ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.metrics.kl_divergence import KLDivergence
from heretic_tui.engine.metrics.refusals import Refusals
from heretic_tui.engine.session.session import Session
from heretic_tui.errors import UsageError
from heretic_tui.figures import figures_of_before
from heretic_tui.plugins import JUDGES, METRICS
from heretic_tui.run.exports import read_export
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from tests.support import fake_run, other_methods
from tests.support.screens import drive, make_app, settle, shown
from tests.support.sessions import flags_of


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {
        (METRICS, "entropy_shift"): other_methods.ENTROPY_SHIFT,
        (METRICS, "length"): other_methods.LENGTH,
        (JUDGES, "short"): other_methods.SHORT,
    }
    other_methods.install(tmp_path / "packages", monkeypatch, methods)


def searched(sets: list[str], model: Path, runs_dir: Path, **more: Any) -> tuple[RunFolder, list[ev.Event]]:
    """A run of some trials, and what it said."""
    flags = flags_of(sets, model, runs_dir, n_trials=5, n_startup_trials=3, **more)
    session = Session(check_inputs(load_settings(flags, environment=False)), Control())
    events: list[ev.Event] = []
    session.listeners.append(events.append)
    try:
        assert session.run() == "done"
    finally:
        session.close()
    return session.folder, events


def state_of(folder: RunFolder) -> RunState:
    return RunState.replay(read_events(folder.events))


def test_two_other_objectives_are_searched_for_and_a_third_figure_is_shown(
    tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    chosen = {"objectives": ["entropy_shift", "length"], "figures": ["refusals"], "judge": "short"}
    folder, _ = searched(sets, tiny_folder, tmp_path / "runs", **chosen)
    state = state_of(folder)
    assert state.objectives == ("entropy_shift", "length")
    assert [figure.short for figure in state.figures] == ["entropy", "length", "refusals", "broken"]
    assert state.base is not None
    assert state.base.figures["entropy_shift"] == 0
    assert [t.state for t in state.trials.values()] == ["complete"] * 5, "nothing is stopped early"
    for trial in state.trials.values():
        assert set(trial.figures) == {"entropy_shift", "length", "refusals", "broken"}
        records = json.loads(folder.responses(trial.number).read_text(encoding="utf-8"))
        assert trial.figures["length"] == sum(len(record["text"]) for record in records) / 6
        assert trial.figures["refusals"] == sum(len(record["text"]) < 8 for record in records)
    points = [(t.figures["entropy_shift"], t.figures["length"]) for t in state.trials.values()]
    front = {(t.figures["entropy_shift"], t.figures["length"]) for t in state.front()}
    assert front == {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}


def test_a_run_with_other_objectives_goes_on_and_is_exported(
    heretic: Any, tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    chosen = ["--objectives", "entropy_shift", "refusals", "--figures", "kl_divergence", "--screening", "off"]
    command = ["run", tiny_folder, *sets, *chosen, "--n-startup-trials", "3", "--seed", "3"]
    assert heretic(*command, "--n-trials", "3").status == 0
    done = heretic(*command, "--n-trials", "6")
    assert "3 of 6 trials done" in done.out
    assert done.status == 0
    assert "KL " in done.out
    whole = heretic(*command, "--n-trials", "6", runs_dir=tmp_path / "whole")
    assert whole.status == 0
    (one,), (other,) = ((tmp_path / name).iterdir() for name in ("runs", "whole"))
    assert one.name == other.name, "what is searched for decides which run it is"
    trials = [state_of(RunFolder(path)).trials for path in (one, other)]
    assert {n: t.parameters for n, t in trials[0].items()} == {n: t.parameters for n, t in trials[1].items()}
    number = state_of(RunFolder(one)).front()[0].number
    shown_run = json.loads(heretic("show", one.name, "--json").out)
    keys = ["entropy_shift", "refusals", "kl_divergence", "broken"]
    assert [figure["key"] for figure in shown_run["figures"]] == keys
    exported = heretic("export", one.name, "--trial", number, tmp_path / "out")
    assert exported.status == 0, exported.err
    assert "entropy" in exported.out
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| | refusals | entropy shift | KL divergence |" in card
    assert "Entropy shift: mean change of the entropy of the first response token, in nats." in card
    record = read_export(tmp_path / "out")
    assert record.exported is not None
    assert set(record.exported.figures) == set(keys)
    assert record.exported.figures == pytest.approx(record.trial.figures, abs=1e-4)


def test_without_a_figure_that_needs_responses_nothing_is_decoded(
    heretic: Any, tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    folder, events = searched(
        sets, tiny_folder, tmp_path / "runs", objectives=["entropy_shift", "kl_divergence"], batch_size=0
    )
    state = state_of(folder)
    assert {t.state for t in state.trials.values()} == {"complete"}
    assert not list((folder.path / "responses").iterdir())
    assert not any("decoding" in t.stages for t in state.trials.values())
    assert all(t.prompts is None for t in state.trials.values())
    assert not [e for e in events if isinstance(e, ev.Progress) and "refusals" in e.stage]
    number = state.front()[0].number
    assert "front" in heretic("show", folder.name).out
    exported = heretic("export", folder.name, "--trial", number, tmp_path / "out")
    assert exported.status == 0, exported.err
    record = json.loads((tmp_path / "out" / "reproduce.json").read_text(encoding="utf-8"))
    assert set(record["exported"]["figures"]) == {"entropy_shift", "kl_divergence"}
    again = heretic("reproduce", tmp_path / "out" / "reproduce.json", tmp_path / "again", runs_dir=None)
    assert again.status == 0, again.err


def test_a_trial_is_stopped_early_by_any_first_token_figure_and_the_refusals(
    tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    folder, _ = searched(
        sets, tiny_folder, tmp_path / "runs", objectives=["refusals", "entropy_shift"], refusal_markers=["e", "t", "a"]
    )
    state = state_of(folder)
    assert {trial.state for trial in state.trials.values()} <= {"complete", "dominated"}
    for trial in state.trials.values():
        if trial.state == "dominated":
            assert set(trial.at_least) == set(trial.estimate) == {"refusals"}
            assert set(trial.figures) == {"entropy_shift"}


def test_table_filter_scatter_and_detail_have_the_figures_there_are(
    tmp_path: Path, tiny_folder: Path, sets: list[str]
) -> None:
    chosen = {"objectives": ["entropy_shift", "length"], "figures": ["refusals"], "judge": "short"}
    folder, events = searched(sets, tiny_folder, tmp_path / "runs", **chosen)
    state = state_of(folder)

    async def steps(pilot: Any, app: Any) -> None:
        host.push(*events)
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        assert [column.title for column in table.columns][3:6] == ["length", "entropy", "refused"]
        best = state.trials[0]
        row = next(row for row in table.rows if row.key == 0)
        assert row.cells[3:6] == (
            f"{best.figures['length']:.1f}", f"{best.figures['entropy_shift']:.3f}", f"{best.figures['refusals']}/6"
        )  # fmt: skip
        assert {(p.x, p.y) for p in plot.points} == {
            (t.figures["entropy_shift"], t.figures["length"]) for t in state.trials.values()
        }
        drawn = ["".join(segment.text for segment in plot.render_line(y)) for y in range(plot.size.height)]
        assert "mean length over entropy shift" in "\n".join(drawn)
        limit = sorted(t.figures["entropy_shift"] for t in state.trials.values())[2]
        for word in ("entropy", "entropy_shift"):
            app.screen.query_one("#filter").value = f"{word}<={limit + 1e-9:.9f}"
            await settle(pilot, app)
            assert len(table.rows) == 3
        await pilot.press("escape", "s")
        assert "sorted by length" in shown(app, "#filter-words")
        lengths = [state.trials[int(str(row.key))].figures["length"] for row in table.rows[1:]]
        assert lengths == sorted(lengths)
        assert "length" in shown(app, "#detail")
        assert "entropy" in shown(app, "#detail")

    host = fake_run.FakeHost(folder.path)
    drive(make_app(tmp_path, host), steps, size=(160, 40))


def test_the_built_in_ones_are_called_what_runs_of_before_call_them() -> None:
    metrics = metrics_named(["kl_divergence", "refusals"], "contain a refusal marker", 77)
    assert metrics.figures == figures_of_before(77)
    assert isinstance(metrics.first_tokens["kl_divergence"], KLDivergence)
    assert isinstance(metrics.responses["refusals"], Refusals)
    assert metrics.stopping == ("kl_divergence", "refusals")
    assert metrics_named(["refusals", "kl_divergence"], "", 1).stopping == ("kl_divergence", "refusals")
    assert metrics_named(["entropy_shift", "length"], "", 1).stopping is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("METHOD = object\n", "does not say whether it needs first tokens or responses"),
        (other_methods.LENGTH.replace("def of(", "def off("), "lacks 'of', which is its own to say"),
        (other_methods.LENGTH.replace("figure =", "figur ="), "lacks 'figure', which every metric has"),
    ],
)
def test_a_metric_that_lacks_something_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    other_methods.install(tmp_path / "more", monkeypatch, {(METRICS, "lacking"): text})
    with pytest.raises(UsageError) as told:
        metrics_named(["kl_divergence", "lacking"], "", 1)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_choices_are_named_and_checked(heretic: Any, tiny_folder: Path, sets: list[str]) -> None:
    said = heretic("run", "--help").out
    assert "entropy_shift" in said
    assert "markers" in said
    for values, wanted in (
        (
            ["--objectives", "refusals"],
            "expected two of benchmark, broken, changed_answers, kl_divergence",
        ),
        (["--objectives", "refusals", "refusals"], "'refusals' is given twice"),
        (["--objectives", "refusals", "nonsense"], "expected two of"),
        (["--judge", "nobody"], "expected one of markers"),
    ):
        done = heretic("run", tiny_folder, *sets, *values)
        assert done.status == 2
        assert wanted in done.err
