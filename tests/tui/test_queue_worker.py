"""The queue worked off by the process of the screen: after the run in it, when nobody uses that, and one after
another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.calls import Calls
from heretic_tui.errors import HereticError
from heretic_tui.report.notify import Notifier
from heretic_tui.run.queue import QueueFile
from heretic_tui.settings.record import to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.host import ThreadHost
from heretic_tui.tui.messages import QueueRun, ShowRun
from heretic_tui.tui.other_process import FollowHost
from heretic_tui.tui.queue_worker import PATIENCE
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from tests.support.journals import opened, trial
from tests.support.runs import append, make_run
from tests.support.screens import Steps, drive, make_app, settle, threads_end, told


class Scripted(ThreadHost):
    """A thread like that of an engine, with a script in its place.

    Args:
        outcome: done, stopped, or why it fails.
    """

    def __init__(self, settings: Settings, outcome: str = "done") -> None:
        super().__init__(settings)
        self._outcome = outcome
        self.go, self.resting = threading.Event(), threading.Event()

    def run_session(self) -> None:
        events = [opened(1), ev.PhaseStarted(phase="search")]
        done = [*trial(0, 0.5, 10)] if self._outcome == "done" else []
        self.folder = make_run(Path(self.settings.runs_dir) / Path(self.settings.model).name, events)
        self.folder.lock()
        try:
            for event in events:
                self._mailbox.put(event)
            assert self.go.wait(60)
            if self._outcome not in ("done", "stopped"):
                raise HereticError(self._outcome)
            append(self.folder, done)
            self.engine.rest()
            self.resting.set()
            self.engine.wait_command()
        finally:
            self.folder.unlock()
            self.resting.set()


class Hosts:
    """Makes hosts of the runs that are started, in order, each with its own outcome."""

    def __init__(self, *outcomes: str) -> None:
        self.outcomes = list(outcomes)
        self.made: list[Scripted] = []

    def __call__(self, settings: Settings) -> Any:
        host = Scripted(settings, self.outcomes.pop(0) if self.outcomes else "done")
        self.made.append(host)
        return host

    def end(self) -> None:
        """Let no thread outlive the test."""
        for host in self.made:
            host.go.set()
            host.engine.close()
            host.join(60)

    def finish(self, number: int) -> None:
        """Let a run come to its end."""
        host = self.made[number]
        host.go.set()
        assert host.resting.wait(60)
        if host._outcome not in ("done", "stopped"):
            host.join(60)


def queued(tmp_path: Path, *models: str) -> QueueFile:
    file = QueueFile(tmp_path / "runs")
    for model in models:
        file.add(to_record(load_settings({"model": f"acme/{model}"}, environment=False)))
    return file


def start(app: HereticApp, tmp_path: Path, model: str = "first") -> None:
    app.start(load_settings({"model": f"acme/{model}", "runs_dir": str(tmp_path / "runs")}, environment=False))


async def look(pilot: Pilot[Any], app: HereticApp, until: Callable[[], bool] | None = None) -> None:
    """Let the application look at the queue: once, or until something is so, for what is closed takes a moment to
    end."""
    for _ in range(400 if until else 1):
        app.look_at_queue()
        await threads_end(app)
        await settle(pilot, app)
        if until and until():
            return
    assert until is None, told(app)


def course(app: HereticApp, steps: Steps, hosts: Hosts) -> None:
    try:
        drive(app, steps)
    finally:
        hosts.end()


def nobody_here(app: HereticApp) -> None:
    app.last_key = time.monotonic() - PATIENCE - 1


def ran(hosts: Hosts) -> list[str]:
    return [host.settings.model for host in hosts.made]


def test_the_next_run_starts_when_the_one_here_is_done_and_nobody_uses_it(tmp_path: Path) -> None:
    file, hosts = queued(tmp_path, "second", "third"), Hosts()
    calls: list[str] = []
    notifier = Notifier(Calls(osc="off"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        notifier.to_terminal = calls.append
        start(app, tmp_path)
        await look(pilot, app)
        assert ran(hosts) == ["acme/first"], "it searches"
        hosts.finish(0)
        await look(pilot, app)
        await look(pilot, app)
        assert ran(hosts) == ["acme/first"], "a person is here"
        assert any("you are here" in text for text in told(app))
        assert file.worker() is not None
        nobody_here(app)
        await look(pilot, app, lambda: len(hosts.made) == 2)
        assert ran(hosts) == ["acme/first", "acme/second"]
        assert not hosts.made[0].alive
        assert app.view.host is hosts.made[1], "nobody looks at another"
        assert file.read().entries[0].begun is not None
        hosts.finish(1)
        await look(pilot, app, lambda: len(hosts.made) == 3)
        assert [entry.model for entry in file.read().entries] == ["acme/third"]
        hosts.finish(2)
        await look(pilot, app, lambda: file.worker() is None)
        assert file.read().entries == ()
        assert any("2 runs done; the queue is empty" in text for text in told(app))
        notifier.close()
        assert calls == ["\x07"]

    course(make_app(tmp_path, new_host=hosts, notifier=notifier), steps, hosts)


def test_one_that_fails_asks_nobody_and_the_next_has_its_turn(tmp_path: Path) -> None:
    file, hosts = queued(tmp_path, "second", "third"), Hosts("done", "no memory", "done")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        start(app, tmp_path)
        hosts.finish(0)
        nobody_here(app)
        await look(pilot, app, lambda: len(hosts.made) == 2)
        hosts.finish(1)
        await look(pilot, app, lambda: len(hosts.made) == 3)
        assert not isinstance(app.screen, ChoiceDialog)
        assert [(entry.model, entry.problem) for entry in file.read().entries] == [
            ("acme/second", "no memory"),
            ("acme/third", None),
        ]
        hosts.finish(2)
        await look(pilot, app, lambda: file.worker() is None)
        assert [entry.model for entry in file.read().entries] == ["acme/second"]

    course(make_app(tmp_path, new_host=hosts), steps, hosts)


def test_a_bad_entry_costs_none_of_the_others(tmp_path: Path) -> None:
    file, hosts = QueueFile(tmp_path / "runs"), Hosts()
    file.add({"model": "acme/bad", "n_trials": "many"})
    file.add({"model": "acme/code", "trust_remote_code": True})
    queued(tmp_path, "good")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("0", "Q")
        await pilot.pause()
        app.work_queue()
        await look(pilot, app, lambda: len(hosts.made) == 1)
        assert ran(hosts) == ["acme/good"]
        bad, code, good = file.read().entries
        assert "n_trials" in (bad.problem or "")
        assert "trust-remote-code" in (code.problem or "")
        assert good.problem is None
        hosts.finish(0)
        await look(pilot, app, lambda: file.worker() is None)

    course(make_app(tmp_path, new_host=hosts), steps, hosts)


def test_a_run_of_the_queue_that_a_person_stops_stops_the_queue(tmp_path: Path) -> None:
    file, hosts = queued(tmp_path, "second", "third"), Hosts("done", "stopped")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        start(app, tmp_path)
        hosts.finish(0)
        nobody_here(app)
        await look(pilot, app, lambda: len(hosts.made) == 2)
        hosts.finish(1)
        await look(pilot, app, lambda: file.worker() is None)
        assert ran(hosts) == ["acme/first", "acme/second"]
        assert [entry.model for entry in file.read().waiting] == ["acme/second", "acme/third"]

    course(make_app(tmp_path, new_host=hosts), steps, hosts)


def test_a_run_that_a_person_stopped_begins_no_queue(tmp_path: Path) -> None:
    file, hosts = queued(tmp_path, "second"), Hosts("stopped")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        start(app, tmp_path)
        hosts.finish(0)
        nobody_here(app)
        for _ in range(3):
            await look(pilot, app)
        assert ran(hosts) == ["acme/first"]
        assert file.worker() is None

    course(make_app(tmp_path, new_host=hosts), steps, hosts)


def test_who_looks_at_another_run_keeps_it_in_view(tmp_path: Path) -> None:
    file, hosts = queued(tmp_path, "second"), Hosts()
    old = make_run(tmp_path / "runs" / "old", [opened(1), *trial(0, 0.3, 3)])

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        start(app, tmp_path)
        await settle(pilot, app)
        app.post_message(ShowRun(old))
        await settle(pilot, app)
        hosts.finish(0)
        nobody_here(app)
        await look(pilot, app, lambda: len(hosts.made) == 2)
        assert isinstance(app.view.host, FollowHost)
        assert app.at_work is hosts.made[1]
        hosts.finish(1)
        await look(pilot, app, lambda: file.worker() is None)
        assert file.read().entries == ()

    course(make_app(tmp_path, new_host=hosts), steps, hosts)


def test_what_is_queued_is_checked_and_a_second_worker_is_refused(tmp_path: Path) -> None:
    file = QueueFile(tmp_path / "runs")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        for model, said in (("/no/such", "no such model folder"), ("acme/fine", "Queued as #1: acme/fine")):
            settings = load_settings({"model": model, "runs_dir": str(tmp_path / "runs")}, environment=False)
            app.post_message(QueueRun(settings))
            await settle(pilot, app)
            assert any(said in text for text in told(app)), model
        with file.working():
            app.work_queue()
            await settle(pilot, app)
            assert any("works this queue off already" in text for text in told(app))

    drive(make_app(tmp_path), steps)
    assert [entry.model for entry in file.read().entries] == ["acme/fine"]


@pytest.mark.parametrize("limit", [{"stop_at": 1.0}, {"keep_free": 1e18}])
def test_limits_keep_the_next_run_from_starting(tmp_path: Path, limit: dict[str, float]) -> None:
    file, hosts = queued(tmp_path, "second"), Hosts()
    file.limit(**limit)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        start(app, tmp_path)
        hosts.finish(0)
        nobody_here(app)
        for _ in range(3):
            await look(pilot, app)
        assert ran(hosts) == ["acme/first"]
        assert len(file.read().waiting) == 1

    course(make_app(tmp_path, new_host=hosts), steps, hosts)
