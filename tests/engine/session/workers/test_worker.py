"""What a worker is given, what it refuses, and that what it finds is what the run's own model finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from heretic_tui.commands import Chat, FullAnswers, Sampling
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import (
    FAILED,
    LOADING,
    READY,
    REFUSES,
    News,
    Order,
    Orders,
    Question,
    Said,
)
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.engine.session.workers.bundle import Bundle
from heretic_tui.engine.session.workers.worker import MeasuringWorker
from heretic_tui.events import (
    ChatEnded,
    ChatStarted,
    FullAnswersFound,
    Measured,
    Notice,
    PhaseStarted,
    TrialFinished,
    TrialStarted,
)
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.settings.sources import load_settings
from tests.support.definitions import bases
from tests.support.runs import append

EDIT = Parameters(2.5, {"attn.o_proj": Kernel(1.2, 2, 0.6, 2), "mlp.down_proj": Kernel(1.0, 2, 0.5, 2)})


@pytest.fixture(scope="module")
def bench(tiny_folder: Path, sets: list[str], tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    given = {name[2:].replace("-", "_"): value for name, value in zip(sets[::2], sets[1::2], strict=True)}
    settings = load_settings({**given, "model": str(tiny_folder), "response_prefix": ""}, environment=False)
    return Workbench.open(settings, folder=tmp_path_factory.mktemp("bench") / "run")


def until(worker: MeasuringWorker, state: str, orders: Orders | None = None, found: int = 0) -> Iterator[News]:
    """News up to a state, and up to so many jobs that have ended."""
    ended = 0
    for _ in range(600):
        news = worker.exchange(orders or Orders())
        orders = None
        yield news
        ended += len(news.found)
        if news.state == state and ended >= found:
            return
        assert news.state in (state, LOADING), news.reason
    raise AssertionError("it took too long")


def order(key: int, edit: Parameters | None) -> Order:
    return Order.of(key, Job(key, {}, 0, edit))


def test_a_worker_finds_what_the_model_of_the_run_finds_and_measures_no_base_model(bench: Workbench) -> None:
    bundle = Bundle.of(bench.run)
    assert set(bundle.files) == {"baseline.safetensors", "responses/base.json", "directions.safetensors"}
    worker = MeasuringWorker(bundle)
    news = list(until(worker, READY, Orders([order(1, EDIT), order(2, None)]), found=2))
    found = {each.key: each for one in news for each in one.found}
    for key, edit in ((1, EDIT), (2, None)):
        job = bench.job(key, edit)
        bench.baseline.measure(job)
        assert found[key].error is None
        assert found[key].figures == pytest.approx(job.figures, abs=1e-6)
        assert list(found[key].responses) == job.responses
    events = [event for one in news for event in one.events]
    assert {event.number for event in events if isinstance(event, Measured)} == {1, 2}
    assert not any(isinstance(event, PhaseStarted) for event in events)
    assert (news[-1].device, news[-1].steps > 0, news[-1].tokens > 0) == ("cpu", True, True)


def test_a_worker_needs_nothing_that_directions_were_made_from(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    given = {name[2:].replace("-", "_"): value for name, value in zip(sets[::2], sets[1::2], strict=True)}
    file, keep = tmp_path / "directions.safetensors", tmp_path / "keep.txt"
    save_file({"directions": bases(4, 2, 32)}, file)
    keep.write_text("".join(f"Keep what is said of {number}\n" for number in range(9)))
    methods = ["clusters", "leace", "ridge_cleaned", "from_file"]
    several: dict[str, object] = {"direction_method": methods, "directions_per_layer": 2, "direction_weights": "each"}
    several |= {"direction_file": str(file), "keep_prompts": [str(keep)]}
    settings = load_settings({**given, **several, "model": str(tiny_folder), "response_prefix": ""}, environment=False)
    bench = Workbench.open(settings, folder=tmp_path / "run")
    file.unlink()
    keep.unlink()
    worker, edits = MeasuringWorker(Bundle.of(bench.run)), []
    for method, count in bench.methods.items():
        kernels = {name: replace(kernel, shares=(0.4,) * count) for name, kernel in EDIT.components.items()}
        edits.append(Parameters(None, kernels, method))
    orders = Orders([order(key, edit) for key, edit in enumerate(edits, start=1)])
    found = {each.key: each for news in until(worker, READY, orders, len(edits)) for each in news.found}
    for key, edit in enumerate(edits, start=1):
        job = bench.job(key, edit)
        bench.baseline.measure(job)
        assert found[key].error is None
        assert found[key].figures == pytest.approx(job.figures, abs=1e-6)
    assert len({each.figures["kl_divergence"] for each in found.values()}) == len(methods)


def test_a_worker_of_a_second_round_measures_on_top_of_the_first(
    bench: Workbench, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    first, below = bench.run.folder, bench.job(3, EDIT)
    figures = bench.baseline.measure(below).figures
    ends = TrialFinished(number=3, state="complete", figures=figures, prompts=len(below.responses))
    append(first, [TrialStarted(number=3, parameters=EDIT), ends])
    given = {name[2:].replace("-", "_"): value for name, value in zip(sets[::2], sets[1::2], strict=True)}
    given |= {"model": str(tiny_folder), "response_prefix": "", "on_top_of": f"{first.path}:3"}
    second = Workbench.open(load_settings(given, environment=False), folder=tmp_path / "second")
    bundle = Bundle.of(second.run)
    assert "round-1.safetensors" in bundle.files
    nothing = Parameters(2.5, {name: Kernel(0.0, 2, 0.0, 2) for name in EDIT.components})
    orders = Orders([order(1, EDIT), order(2, nothing)])
    found = {each.key: each for news in until(MeasuringWorker(bundle), READY, orders, 2) for each in news.found}
    job = second.job(1, EDIT)
    second.baseline.measure(job)
    assert found[1].figures == pytest.approx(job.figures, abs=1e-6)
    # An edit of nothing on top of a trial is that trial.
    assert list(found[2].responses) == below.responses
    kl = "kl_divergence"
    assert found[2].figures[kl] == pytest.approx(figures[kl], abs=1e-6)
    assert found[1].figures[kl] > 1.1 * figures[kl]


def test_an_edit_that_cannot_be_made_costs_no_other_job(bench: Workbench) -> None:
    worker = MeasuringWorker(Bundle.of(bench.run))
    unknown = Parameters(2.5, {"no.such": Kernel(1.0, 2, 0.5, 2)})
    news = list(until(worker, READY, Orders([order(1, unknown), order(2, EDIT)]), found=2))
    errors = {each.key: each.error for one in news for each in one.found}
    assert errors[2] is None
    assert "no component" in (errors[1] or "")


def test_what_is_given_up_ends(bench: Workbench) -> None:
    worker = MeasuringWorker(Bundle.of(bench.run))
    # Both orders are there before the model is loaded.
    worker.exchange(Orders([order(1, EDIT), order(2, EDIT)], paused=True))
    news = list(until(worker, READY, Orders(given_up=[1]), found=2))
    found = {each.key: each for one in news for each in one.found}
    assert not found[1].figures
    assert found[2].figures


def test_other_files_of_the_model_are_refused(bench: Workbench) -> None:
    bundle = Bundle.of(bench.run)
    assert bundle.record.identity
    other = replace(bundle, record=replace(bundle.record, identity={**bundle.record.identity, "model": "another"}))
    news = list(until(MeasuringWorker(other), REFUSES))[-1]
    assert news.reason.endswith("are others than those that the run began with: copy them there")


def test_another_version_of_this_program_is_refused(bench: Workbench) -> None:
    news = list(until(MeasuringWorker(replace(Bundle.of(bench.run), version="0.0")), REFUSES))[-1]
    assert "and that of the run 0.0: install the same there" in news.reason


def test_a_chat_is_answered_beside_the_trials_and_while_they_are_paused(bench: Workbench) -> None:
    worker = MeasuringWorker(Bundle.of(bench.run))
    chat = Chat(5, 3, (("user", "Hello"),), "", Sampling(max_tokens=4))
    full = FullAnswers(6, (3,), (0, 1), limit=3)
    asked = [Question(8, chat, {3: EDIT}), Question(9, full, {3: EDIT})]
    orders = Orders([order(1, EDIT)], paused=True, questions=asked)
    said: list[Said] = []
    answered: list[int] = []
    for _ in range(300):
        news, orders = worker.exchange(orders), Orders(paused=True)
        assert not news.found
        said += news.said
        answered += news.answered
        if len(answered) == 2:
            break
    assert sorted(answered) == [8, 9]
    events = [each.event for each in said if each.key == 8]
    assert isinstance(events[0], ChatStarted)
    assert events[0].trial == 3
    assert [event.reason for event in events if isinstance(event, ChatEnded)] in (["end"], ["length"])
    last = [each for each in said if each.key == 9][-1]
    assert isinstance(last.event, FullAnswersFound)
    assert (last.event.prompts, last.event.ended) == ([0, 1], True)
    assert list(last.files) == ["responses/full-0003.json"]
    assert [found.key for one in until(worker, READY, found=1) for found in one.found] == [1]


def test_a_question_that_is_withdrawn_ends(bench: Workbench) -> None:
    worker = MeasuringWorker(Bundle.of(bench.run))
    chat = Chat(5, None, (("user", "Hello"),), "", Sampling(max_tokens=100_000))
    first = worker.exchange(Orders(questions=[Question(8, chat)], withdrawn=[8]))
    assert 8 in first.answered or any(8 in worker.exchange(Orders()).answered for _ in range(300))


def test_what_has_changed_on_its_way_is_refused(bench: Workbench) -> None:
    bundle = Bundle.of(bench.run)
    files = {**bundle.files, "directions.safetensors": bundle.files["directions.safetensors"][:-1] + b"?"}
    news = list(until(MeasuringWorker(replace(bundle, files=files)), REFUSES))[-1]
    assert news.reason == "what the run found has changed on its way to this worker"


def test_what_the_run_did_not_find_is_not_found_by_a_worker(bench: Workbench) -> None:
    bundle = Bundle.of(bench.run)
    files = {name: content for name, content in bundle.files.items() if name != "baseline.safetensors"}
    lacking = Bundle(bundle.settings, bundle.sets, bundle.record, files, Bundle.digest_of(files), bundle.host)
    news = list(until(MeasuringWorker(lacking), REFUSES))[-1]
    assert "baseline" in news.reason


def test_notices_and_what_is_printed_are_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(self: Bundle, folder: object) -> None:
        print("a library prints this\nand that")
        raise ZeroDivisionError("by a library")

    monkeypatch.setattr(Bundle, "unpack", unpack)
    news = list(until(MeasuringWorker(Bundle.of(bench.run)), FAILED))
    lines = [line for one in news for line in one.lines]
    assert lines[:2] == ["a library prints this", "and that"]
    assert any("the worker failed" in line for line in lines)
    assert "by a library" in news[-1].reason
    assert not any(isinstance(event, Notice) for one in news for event in one.events)
