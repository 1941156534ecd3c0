"""What a session is asked for while it waits or searches: chats, exports, more trials, first tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Export, MoreTrials, Sampling, Shift
from heretic_tui.records import read
from heretic_tui.run.exports import ExportFigures
from heretic_tui.run.results import read_shift
from tests.support.sessions import Watched, flags_of, is_ready


def test_a_session_stays_answers_exports_and_searches_on(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    out = tmp_path / "exported"
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=2))
    try:
        run.wait(is_ready)
        greedy = Sampling(temperature=0, max_tokens=60)
        run.control.send(Chat(1, None, (("user", "hello"),), "", greedy))
        run.control.send(Chat(2, 1, (("user", "hello"),), "", greedy))
        ends = run.wait(lambda e: isinstance(e, ev.ChatEnded), 2)
        assert [(e.id, e.reason) for e in ends if isinstance(e, ev.ChatEnded)] == [(1, "length"), (2, "length")]
        said = {
            id: "".join(e.text for e in run.events if isinstance(e, ev.ChatDelta) and e.id == id) for id in (1, 2)
        }  # fmt: skip
        assert said[1] != said[2], "the trial's edit was attached"
        # A chat that cannot be answered costs nothing.
        run.control.send(Chat(3, 99, (("user", "x"),), "", greedy))
        assert run.wait(lambda e: isinstance(e, ev.ChatEnded) and e.reason == "failed")
        run.control.send(Export(1, str(out)))
        (done,) = run.wait(lambda e: isinstance(e, ev.ExportFinished))
        assert isinstance(done, ev.ExportFinished)
        assert done.error is None
        assert done.result is not None
        measured = read(ExportFigures, done.result)
        assert measured.exported is not None
        assert measured.exported.figures["refusals"] == measured.trial.figures["refusals"]
        run.control.send(Export(1, str(tmp_path / "again"), "adapter"))
        second = run.wait(lambda e: isinstance(e, ev.ExportFinished), 2)[1]
        assert isinstance(second, ev.ExportFinished)
        assert second.error is None, "a second export while the model is not loaded"
        # The model was let go of for the export; it comes back, and the search goes on with it.
        run.control.send(MoreTrials(4))
        run.wait(is_ready, 2)
        run.control.send(Chat(4, None, (("user", "hello"),), "", greedy))
        run.wait(lambda e: isinstance(e, ev.ChatEnded) and e.id == 4)
        again = "".join(e.text for e in run.events if isinstance(e, ev.ChatDelta) and e.id == 4)
        assert again == said[1]
    finally:
        run.end()
    assert run.session.state.finished == 4
    assert run.session.state.outcome == "done"
    journal = run.session.folder.events.read_text(encoding="utf-8")
    assert "hello" not in journal, "what people say to a model is not written down"
    assert "chat_" not in journal


def test_an_aborted_search_waits_for_commands_and_goes_on(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=100_000))
    try:
        run.wait(lambda e: isinstance(e, ev.TrialFinished), 2)
        run.control.abort()
        run.wait(is_ready)
        finished = run.session.state.finished
        run.control.send(MoreTrials(finished + 2))
        run.wait(is_ready, 2)
    finally:
        run.end()
    assert run.session.state.finished == finished + 2


def test_an_export_that_waits_for_trials_is_made_when_they_are_aborted(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    flags = flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=100_000, trials_at_once=3, early_stop=False)
    run = Watched(flags)
    sent = Export(0, str(tmp_path / "exported"))

    def hear(event: ev.Event) -> None:
        # The engine's own thread: the next trial ends with this export waiting for the others.
        if isinstance(event, ev.TrialFinished) and event.number == 0:
            run.control.send(sent)
        if isinstance(event, ev.TrialFinished) and event.number == 1:
            run.control.abort()

    run.session.listeners.append(hear)
    try:
        (done,) = run.wait(lambda e: isinstance(e, ev.ExportFinished))
    finally:
        run.end()
    assert isinstance(done, ev.ExportFinished)
    assert done.error is None
    states = {number: trial.state for number, trial in run.session.state.trials.items()}
    assert states == {0: "complete", 1: "complete", 2: "stopped"}


@pytest.mark.parametrize("moment", ["written, MB", "KL divergence", ""])
def test_a_cancelled_export_leaves_nothing_behind(
    tiny_folder: Path, sets: list[str], tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "exported"
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=1))
    try:
        run.wait(is_ready)

        def cancel(event: ev.Event) -> None:
            if isinstance(event, ev.Progress) and event.stage == moment:
                run.control.cancel(export)

        export = Export(0, str(out))
        if moment:
            run.session.listeners.append(cancel)
        else:
            # While it waits for its turn; what has its turn first is not touched.
            chat = Chat(1, None, (("user", "hello"),), "", Sampling(temperature=0, max_tokens=5))
            run.control.send(chat)
            run.control.cancel(export)
        run.control.send(export)
        (done,) = run.wait(lambda e: isinstance(e, ev.ExportFinished))
        if not moment:
            assert [e.reason for e in run.events if isinstance(e, ev.ChatEnded)] == ["length"]
        assert isinstance(done, ev.ExportFinished)
        assert done.error is not None
        assert done.error == "cancelled: nothing was left behind"
        assert not out.exists()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".exported")] == []
    finally:
        run.end()


def test_cancelling_an_export_that_waits_leaves_what_another_wrote_there(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "exported"
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=1))
    first, second = Export(0, str(out)), Export(0, str(out))

    def cancel(event: ev.Event) -> None:
        if isinstance(event, ev.ExportFinished):
            run.control.cancel(second)

    try:
        run.wait(is_ready)
        run.session.listeners.append(cancel)
        run.control.send(first)
        run.control.send(second)
        done = run.wait(lambda e: isinstance(e, ev.ExportFinished), 2)
        assert [e.error for e in done if isinstance(e, ev.ExportFinished)] == [
            None,
            "cancelled: nothing was left behind",
        ]
        assert (out / "model.safetensors").is_file()
    finally:
        run.end()


def test_a_trials_first_tokens_are_found_on_request(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=2))
    try:
        run.wait(is_ready)
        cancelled, asked = Shift(1), Shift(1)
        run.control.cancel(cancelled)
        run.control.send(cancelled)
        run.control.send(asked)
        run.control.send(Shift(99))
        found = run.wait(lambda e: isinstance(e, ev.ShiftFound), 3)
        errors = [e.error for e in found if isinstance(e, ev.ShiftFound)]
        assert errors[:2] == ["cancelled", None]
        assert errors[2] == "there is no trial 99 in this run"
        shift = read_shift(run.session.folder, 1)
        assert shift is not None
        assert set(shift) == {"good_evaluation_prompts", "bad_evaluation_prompts"}
        trial = run.session.state.trials[1]
        assert shift["good_evaluation_prompts"].kl_divergence == pytest.approx(trial.figures["kl_divergence"], abs=1e-5)
        assert run.session.state.ends == 2, "nothing else was touched"
    finally:
        run.end()
