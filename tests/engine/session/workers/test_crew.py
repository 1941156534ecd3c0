"""A search whose trials are measured by two workers of Ray: the same trials with the same results, whoever dies."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Sampling
from heretic_tui.control import Control
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.errors import HereticError
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings
from tests.support.sessions import Watched, flags_of, is_ready

TRIALS = 8


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """Two machines, as far as Ray knows, with a processor each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def search(folder: Path, hear: Callable[[ev.Event], None] = lambda event: None, **given: Any) -> Session:
    settings: dict[str, Any] = {"screening": "off", "seed": 3, "n_trials": TRIALS, "n_startup_trials": 4}
    settings |= {"runs_dir": str(folder), "layer_test_prompts": 0, "keep_residuals": False, "batch_size": 100, **given}
    session = Session(check_inputs(load_settings(settings, base=settings_of_the_demo(), environment=False)), Control())
    session.listeners.append(hear)
    try:
        assert session.run() == "done"
    finally:
        session.close()
    return session


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunState:
    """Two trials in hand, in this process."""
    return search(tmp_path_factory.mktemp("alone"), trials_at_once=2).state


def assert_same(found: RunState, expected: RunState) -> None:
    assert found.trials.keys() == expected.trials.keys()
    for number, trial in found.trials.items():
        other = expected.trials[number]
        assert trial.parameters == other.parameters
        assert (trial.state, trial.figures.get("refusals")) == (other.state, other.figures.get("refusals"))
        assert (trial.at_least, trial.looked_at) == (other.at_least, other.looked_at)
        for key, value in {**trial.estimate, **trial.figures}.items():
            within = 2e-3 if key == "expected_refusals" else 1e-5
            assert value == pytest.approx({**other.estimate, **other.figures}[key], abs=within)


def test_where_workers_are_killed_and_machines_come_and_go_every_trial_is_measured_once_as_in_one_process(
    cluster: Cluster, alone: RunState, tmp_path: Path
) -> None:
    dice, ends, workers, killed = random.Random(4), Counter[int](), dict[str, ev.WorkerChanged](), list[int]()

    def hear(event: ev.Event) -> None:
        match event:
            case ev.WorkerChanged():
                workers[event.worker] = event
            case ev.TrialFinished():
                ends[event.number] += 1
                alive = [worker.pid for worker in workers.values() if worker.pid and worker.pid not in killed]
                if not killed and alive:
                    killed.append(dice.choice(alive))
                    os.kill(killed[-1], signal.SIGKILL)
                if len(ends) == 3:
                    gone = list(cluster.worker_nodes)
                    cluster.add_node(num_cpus=1)
                    cluster.remove_node(gone[0], allow_graceful=False)

    session = search(tmp_path, hear, trials_at_once=1, workers=2)
    assert killed
    assert set(ends.values()) == {1}
    assert_same(session.state, alone)
    record = session.folder.read_record()
    assert (record.trials_at_once, record.looks_at_once, record.workers) == (2, 4, 2)
    assert any("started again" in notice.text for notice in session.state.notices)
    assert {worker.state for worker in session.state.workers.values()} == {"ended"}


def test_a_search_that_screens_goes_the_same_way_with_one_worker_as_without(tmp_path: Path) -> None:
    given: dict[str, Any] = {"screening": "safe", "n_trials": 14, "trials_at_once": 1}
    expected = search(tmp_path / "here", **given).state
    session = search(tmp_path / "worker", **given, workers=1)
    assert_same(session.state, expected)
    assert session.folder.read_record().looks_at_once == 1
    assert any(trial.looked_at for trial in session.state.trials.values())


def test_beside_a_worker_a_chat_is_answered_and_a_pause_reaches_it(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    def hear(event: ev.Event, control: Control) -> None:
        match event:
            case ev.TrialStarted(number=1):
                control.send(Chat(1, None, (("user", "Hello"),), "", Sampling(max_tokens=4)))
            case ev.TrialFinished(number=2):
                control.pause()
            case ev.WorkerChanged(state="paused"):
                control.resume()

    flags = flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=8, trials_at_once=2, early_stop=False, workers=1)
    run = Watched(flags, hear)
    run.wait(is_ready)
    run.end()
    state = run.session.state
    assert [event.reason for event in run.events if isinstance(event, ev.ChatEnded)] in (["end"], ["length"])
    assert [trial.state for trial in state.trials.values()] == ["complete"] * 8
    assert [event.state for event in run.events if isinstance(event, ev.StateChanged)][:2] == ["paused", "running"]
    assert state.workers["worker 1"].done == 8


def test_without_a_worker_that_can_measure_the_run_ends_with_the_reasons(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    flags = flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=3, workers=1)

    def hear(event: ev.Event) -> None:
        if isinstance(event, ev.DirectionsFound):
            # Before the worker looks at the files.
            config = folder / "generation_config.json"
            config.write_text(config.read_text() + "\n")

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    session = Session(check_inputs(load_settings({**flags, "model": str(folder)}, environment=False)), Control())
    session.listeners.append(hear)
    with pytest.raises(HereticError, match=r"no worker is left \(worker 1 .*are others than those that the run began"):
        session.run()
    session.close()
    assert session.state.outcome == "failed"
    assert {trial.state for trial in session.state.trials.values()} == {"stopped"}
    # With the files as they were it goes on.
    shutil.copyfile(tiny_folder / "generation_config.json", folder / "generation_config.json")
    session = Session(check_inputs(load_settings({**flags, "model": str(folder)}, environment=False)), Control())
    assert session.run() == "done"
    session.close()
