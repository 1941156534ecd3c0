"""What models are asked to say besides trials: chats with verdicts, samples, answers to their end, an edit tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Asked, Chat, Command, FullAnswers, Samples, Sampling, Try
from heretic_tui.engine.answers.said import Said
from heretic_tui.engine.measuring.rows import decode_rows
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.session.judged import judged
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.full_answers import read_full_answers
from heretic_tui.run.results import read_responses
from heretic_tui.verdict import Verdict
from tests.support.sessions import Watched, flags_of, is_ready

JUDGE = RunJudge(Markers(["sorry"], [("<think>", "</think>")]), Said([("<think>", "</think>")]))
HELLO = (("user", "hello"),)


def test_a_verdict_is_on_what_the_model_made_and_places_are_those_in_what_was_told() -> None:
    assert judged(JUDGE, "So Sorry.", True, before="Well. ") == (Verdict(True, "sorry", 9, 14), None)
    assert judged(JUDGE, "Gladly.", True, before="sorry ") == (Verdict(False, None), None)


def test_there_is_no_verdict_where_there_can_be_none() -> None:
    # Stopped: a marker stays what it is, whatever comes after.
    assert judged(JUDGE, "I am sorry", True, whole=False)[0] == Verdict(True, "sorry", 5, 10)
    verdict, why = judged(JUDGE, "I am", True, whole=False)
    assert verdict is None
    assert why is not None
    assert "stopped" in why
    verdict, why = judged(JUDGE, "<think>Am I sorry?", True)
    assert verdict is None
    assert why is not None
    assert "thinking" in why
    assert judged(JUDGE, "", True) == (Verdict(True, "", broken="empty"), None)


@pytest.fixture(scope="module")
def run(tiny_folder: Path, sets: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run whose search is over, with marks of refusals that a model of random weights makes."""
    runs_dir = tmp_path_factory.mktemp("answers")
    watched = Watched(flags_of(sets, tiny_folder, runs_dir, n_trials=2, early_stop=False, refusal_markers=["a", "e"]))
    watched.wait(is_ready)
    yield watched
    watched.end()


def ask(run: Watched, command: Command, wanted: type[ev.Event]) -> Any:
    """The event of a kind that ends a command with an id."""
    run.control.send(command)

    def ends(event: ev.Event) -> bool:
        return isinstance(event, wanted) and event.id == command.id and getattr(event, "ended", True)  # type: ignore[union-attr,attr-defined]

    return run.wait(ends)[-1]


def bench(run: Watched) -> Workbench:
    assert run.session.workbench is not None
    return run.session.workbench


def edit(run: Watched, strength: float) -> Parameters:
    known = run.session.state.trials[0].required_parameters
    kernels = {name: replace(kernel, max_weight=strength, min_weight=0.0) for name, kernel in known.components.items()}
    return replace(known, components=kernels)


def test_a_chat_is_judged_as_a_trial_is(run: Watched) -> None:
    prompt = bench(run).run.sets["bad_evaluation_prompts"][0].text
    length = bench(run).run.settings.max_response_length
    chat = Chat(100, 1, (("user", prompt),), bench(run).run.settings.system_prompt, Sampling(max_tokens=length))
    end = ask(run, chat, ev.ChatEnded)
    measured = read_responses(run.session.folder, 1)[0]
    said = "".join(e.text for e in run.events if isinstance(e, ev.ChatDelta) and e.id == 100)
    assert said == measured.text
    assert end.no_verdict is None
    assert (end.verdict.refused, end.verdict.marker) == (measured.refused, measured.marker)


def test_an_edit_that_is_no_trial_answers_in_a_chat(run: Watched) -> None:
    def said(id: int) -> str:
        return "".join(e.text for e in run.events if isinstance(e, ev.ChatDelta) and e.id == id)

    greedy = Sampling(max_tokens=30)
    ask(run, Chat(110, None, HELLO, "", greedy), ev.ChatEnded)
    ask(run, Chat(111, 0, HELLO, "", greedy, edit=edit(run, 1.5)), ev.ChatEnded)
    ask(run, Chat(112, 0, HELLO, "", greedy, edit=run.session.state.trials[1].parameters), ev.ChatEnded)
    ask(run, Chat(113, 1, HELLO, "", greedy), ev.ChatEnded)
    assert len({said(110), said(111), said(113)}) == 3
    assert said(112) == said(113)


def made(run: Watched, id: int) -> dict[tuple[int, int], ev.SampleMade]:
    return {(e.model, e.number): e for e in run.events if isinstance(e, ev.SampleMade) and e.id == id}


def test_samples_of_several_models_are_drawn_in_one_batch_and_again_by_their_seed(run: Watched) -> None:
    how = Sampling(temperature=1.0, max_tokens=12)
    asked = (Asked(None, HELLO), Asked(1, (("user", "hello"), ("assistant", "hi"), ("user", "and you?"))))
    end = ask(run, Samples(200, asked, "", 3, how), ev.SamplesEnded)
    samples = made(run, 200)
    assert set(samples) == {(model, number) for model in (0, 1) for number in range(3)}
    assert end.made == [3, 3]
    refused = [sum(samples[model, n].verdict.refused for n in range(3)) for model in (0, 1)]  # type: ignore[union-attr]
    assert end.refused == refused
    assert len({sample.text for sample in samples.values()}) > 2, "they are drawn"
    again = ask(run, Samples(201, asked, "", 3, replace(how, seed=end.seed)), ev.SamplesEnded)
    assert again.seed == end.seed
    assert {key: e.text for key, e in made(run, 201).items()} == {key: e.text for key, e in samples.items()}
    # A model's answers are its own, whoever is asked beside it.
    ask(run, Samples(202, asked[:1], "", 3, replace(how, seed=end.seed)), ev.SamplesEnded)
    assert [made(run, 202)[0, n].text for n in range(3)] == [samples[0, n].text for n in range(3)]


def test_samples_that_cannot_be_drawn_fail_alone(run: Watched) -> None:
    for id, command in enumerate(
        (
            Samples(210, (), "", 3),
            Samples(211, (Asked(None, HELLO),), "", 1000),
            Samples(212, (Asked(77, HELLO),), "", 2),
        ),
        210,
    ):
        end = ask(run, command, ev.SamplesEnded)
        assert (end.id, end.reason) == (id, "failed")
        assert end.error
    assert "no trial 77" in end.error


def test_answers_are_decoded_to_their_end_and_kept(run: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.session.folder
    found = ask(run, FullAnswers(300, (1, None), (0, 2), limit=60), ev.FullAnswersFound)
    assert (found.error, found.prompts) == (None, [0, 2])
    for trial in (1, None):
        measured = read_responses(folder, trial)
        answers = read_full_answers(folder, trial, harmless=False)
        assert set(answers) == {0, 2}
        for number, answer in answers.items():
            # What was measured is cut where its verdict was certain.
            assert answer.same is True
            assert answer.text.startswith(measured[number].text)
            assert len(answer.text) >= len(measured[number].text)
            assert answer.prompt == measured[number].prompt
            assert answer.verdict is not None
    texts = {n: answer.text for n, answer in read_full_answers(folder, 1, harmless=False).items()}
    # A second look decodes nothing that is there.
    decoded: list[int] = []

    def count(*given: Any, **options: Any) -> Steps[None]:
        decoded.append(len(given[1]))
        return decode_rows(*given, **options)

    monkeypatch.setattr("heretic_tui.engine.session.full_answers.decode_rows", count)
    again = ask(run, FullAnswers(301, (1,), (0, 1, 2), limit=60), ev.FullAnswersFound)
    assert decoded == [1]
    assert again.prompts == [0, 1, 2]
    assert {n: read_full_answers(folder, 1, False)[n].text for n in (0, 2)} == texts
    # One that was cut at a lower limit is decoded further; one that has ended is not.
    longer = ask(run, FullAnswers(302, (1,), (0,), limit=70), ev.FullAnswersFound)
    assert longer.error is None
    assert decoded == [1, int(read_full_answers(folder, 1, False)[0].ended == "length")]


def test_harmless_prompts_are_answered_by_the_original_model_too(run: Watched) -> None:
    ask(run, FullAnswers(310, (0, None), (1,), harmless=True, limit=20), ev.FullAnswersFound)
    run.wait(lambda e: isinstance(e, ev.FullAnswersFound) and e.id == 310 and e.ended, 2)
    folder, prompts = run.session.folder, bench(run).run.sets["good_evaluation_prompts"]
    for trial in (0, None):
        (answer,) = read_full_answers(folder, trial, harmless=True).values()
        assert answer.prompt == prompts[1].text
        assert answer.same is None
    assert not read_full_answers(folder, 0, harmless=False)


def test_a_measured_response_that_is_not_met_again_is_told(run: Watched) -> None:
    path = run.session.folder.responses(0)
    records = json.loads(path.read_text(encoding="utf-8"))
    records[1]["text"] = "something else"
    path.write_text(json.dumps(records), encoding="utf-8")
    ask(run, FullAnswers(320, (0,), (1,), limit=20), ev.FullAnswersFound)
    assert read_full_answers(run.session.folder, 0, harmless=False)[1].same is False


def test_prompts_that_are_not_there_fail_in_a_line(run: Watched) -> None:
    found = ask(run, FullAnswers(330, (0,), (9999,)), ev.FullAnswersFound)
    assert "no prompt 10000" in found.error


def test_an_edit_that_is_tried_is_measured_as_its_trial_was(run: Watched) -> None:
    trial = run.session.state.trials[1]
    length = bench(run).run.settings.max_response_length
    prompts = tuple(prompt.text for prompt in bench(run).run.sets["bad_evaluation_prompts"][:2])
    end = ask(run, Try(400, trial.required_parameters, prompts, length), ev.TryEnded)
    assert (end.reason, end.error) == ("end", None)
    told = [e for e in run.events if isinstance(e, ev.TryAnswers) and e.id == 400]
    assert [answer.ended is None for answer in told[-1].answers] == [False, False]
    measured = read_responses(run.session.folder, 1)
    assert all(a.text.startswith(r.text) for a, r in zip(told[-1].answers, measured, strict=False))
    figures = [e for e in run.events if isinstance(e, ev.TryFigures) and e.id == 400][-1]
    assert figures.harmless == figures.harmless_of
    assert figures.figures["kl_divergence"] == pytest.approx(trial.figures["kl_divergence"], abs=1e-5)
    # First answers, then figures: those are what is read.
    kinds = [type(e) for e in run.events if getattr(e, "id", None) == 400]
    assert kinds.index(ev.TryAnswers) < kinds.index(ev.TryFigures)


def test_of_several_edits_the_latest_is_tried(run: Watched) -> None:
    sent: list[Try] = []

    def hear(event: ev.Event) -> None:
        # On the engine's thread, in the middle of the first: two more come.
        if isinstance(event, ev.TryAnswers) and event.id == 410 and not sent:
            sent.extend(Try(id, edit(run, 1.0), ("hello",)) for id in (411, 412))
            for newer in sent:
                run.control.send(newer)

    run.session.listeners.append(hear)
    run.control.send(Try(410, edit(run, 0.9), ("hello",)))
    run.wait(lambda e: isinstance(e, ev.TryEnded) and e.id == 412)
    ends = {e.id: e.reason for e in run.events if isinstance(e, ev.TryEnded) and e.id >= 410}
    assert ends == {410: "replaced", 411: "replaced", 412: "end"}
    assert not [e for e in run.events if isinstance(e, ev.TryAnswers) and e.id == 411]


def test_an_edit_of_another_model_is_refused_in_a_line(run: Watched) -> None:
    strange = Parameters(None, {"attn.strange": Kernel(1.0, 1.0, 0.5, 1.0)})
    end = ask(run, Try(420, strange, ("hello",)), ev.TryEnded)
    assert end.reason == "failed"
    assert "no component 'attn.strange'" in end.error


@pytest.mark.parametrize("plain", [False, True])
def test_a_paused_run_tries_samples_and_decodes(
    tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    if plain:
        monkeypatch.setattr("heretic_tui.engine.measuring.open_pool.plain_layers", lambda cache: "cache of a test")
    flags = flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=4, trials_at_once=2, early_stop=False)

    def pause(event: ev.Event, control: Any) -> None:
        working = isinstance(event, ev.Progress) and event.stage.startswith("refusals") and event.done
        if working and paused.session.state.finished == 2:
            control.pause()

    paused = Watched(flags, pause)
    try:
        paused.wait(lambda e: isinstance(e, ev.StateChanged) and e.state == "paused")
        done = paused.session.state.finished
        trial = paused.session.state.trials[0]
        how = Sampling(temperature=1.0, max_tokens=8, seed=5)
        assert ask(paused, Samples(1, (Asked(0, HELLO), Asked(None, HELLO)), "", 2, how), ev.SamplesEnded).made == [
            2,
            2,
        ]
        assert ask(paused, FullAnswers(2, (0,), (0,), limit=30), ev.FullAnswersFound).prompts == [0]
        assert read_full_answers(paused.session.folder, 0, False)[0].same
        assert ask(paused, Try(3, trial.required_parameters, ("hello",)), ev.TryEnded).reason == "end"
        figures = [e for e in paused.events if isinstance(e, ev.TryFigures)][-1]
        assert figures.figures["kl_divergence"] == pytest.approx(trial.figures["kl_divergence"], abs=1e-5)
        assert paused.session.state.finished == done
        assert paused.session.state.state == "paused"
        paused.session.listeners.pop()
        paused.control.resume()
        paused.wait(is_ready)
    finally:
        paused.end()
    assert paused.session.state.finished == 4


LONG = Sampling(max_tokens=100_000)


@pytest.mark.parametrize(
    ("command", "begun"),
    [
        (Samples(1, (Asked(None, HELLO),), "", 2, replace(LONG, temperature=1.0)), None),
        (FullAnswers(1, (None,), (0, 1), limit=100_000), None),
        (Try(1, Parameters(None, {}), ("hello",), 100_000), ev.TryAnswers),
    ],
)
def test_what_is_decoded_is_cancelled_at_once(
    tiny_folder: Path,
    sets: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Any,
    begun: type[ev.Event] | None,
) -> None:
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=1))
    told: list[ev.Event] = []
    run.control.tell = told.append
    try:
        run.wait(is_ready)
        bench(run).model.end_tokens = frozenset()
        steps = iter(range(100_000))
        plain: Callable[[], None] = run.control.checkpoint

        def checkpoint() -> None:
            # In the middle of its answer.
            if next(steps) == 3:
                run.control.cancel(command)
            plain()

        monkeypatch.setattr(run.control, "checkpoint", checkpoint)
        run.control.send(command)
        kinds = (ev.SamplesEnded, ev.FullAnswersFound, ev.TryEnded)
        (end,) = run.wait(lambda e: isinstance(e, kinds))
        said = end.error if isinstance(end, ev.FullAnswersFound) else end.reason  # type: ignore[attr-defined]
        assert said in ("stopped", "cancelled")
        assert not told, "it was in hand, and the engine tells its end"
        # While it waits it is told to have ended at once, and has no turn.
        again = replace(command, id=2)
        run.control.cancel(again)
        run.control.send(again)
        ended = Chat(3, None, HELLO, "", Sampling(max_tokens=2))
        run.control.send(ended)
        run.wait(lambda e: isinstance(e, ev.ChatEnded))
        assert [getattr(event, "id", None) for event in told] == [2]
        assert len([e for e in run.events if isinstance(e, kinds)]) == 1
    finally:
        run.end()
