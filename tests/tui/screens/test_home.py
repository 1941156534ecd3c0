"""Home: the list of runs and the queue, and what its keys do with the run under the cursor."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.calls import Calls
from heretic_tui.machine import Gpu, MachineSample
from heretic_tui.run.annotations import Annotations, Mark, Note
from heretic_tui.run.queue import QueueFile
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.glyphs import ASCII, UNICODE
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.home_machine import filled_curve, machine_words
from heretic_tui.tui.screens.home_text import age, in_minutes
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support import fake_run
from tests.support.journals import opened, trial
from tests.support.runs import DONE, append, make_run
from tests.support.screens import drawn, drive, make_app, settle, shown, threads_end, told

BASE = ev.BaselineMeasured(figures={"refusals": 96}, prompts=100)


async def look(pilot: Pilot[Any], app: HereticApp) -> None:
    """Let the screen look at the runs, and show what it found."""
    app.screen.look_soon()  # type: ignore[attr-defined]
    for _ in range(2):
        app.tick()
        await threads_end(app)
    await settle(pilot, app)


def lines(app: HereticApp) -> list[str]:
    """The rows as they are drawn, with one space between their cells."""
    table = app.screen.query_one("#run-table", LineTable)
    return [" ".join(" ".join(row.cells[: len(table.columns)]).split()) for row in table.rows]


def three_runs(runs_dir: Path) -> None:
    done = make_run(runs_dir / "llama-8b", [opened(2), BASE, *trial(0, 0.5, 20), *trial(1, 0.1, 3), DONE[0],
                                            replace(DONE[1], time=3e8)])  # fmt: skip
    Annotations(done).say(Mark(trial=1, on=True), Note(trial=1, note="keeps style\nand more"))
    failed = ev.RunEnded(outcome="failed", reason="out of memory", time=2e8)
    make_run(runs_dir / "mistral", [opened(200), failed])
    make_run(runs_dir / "gemma", [opened(200), *trial(0, 0.2, 12), ev.RunEnded(outcome="interrupted", time=1e8)])
    QueueFile(runs_dir).add({"model": "acme/qwen-14b", "n_trials": 200})
    QueueFile(runs_dir).add({"model": "/models/olmo", "n_trials": 50})


def test_runs_and_beneath_them_the_queue(tmp_path: Path) -> None:
    three_runs(tmp_path / "runs")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        assert lines(app) == [
            "✓ done ★1 llama-8b 2/2 3/100 KL 0.1000 ◆ 1",
            "✗ failed mistral 0/200 out of memory",
            "■ stopped gemma 1/200 12/100 KL 0.2000 ◆ 1",
            "… queued #1 qwen-14b -/200 Q starts it",
            "… queued #2 olmo -/50",
        ]
        assert "Runs (3 runs, 2 queued)" in drawn(app)
        text = shown(app, "#run-text")
        assert text.startswith("original 96/100 refused   seed 1\n")
        assert "★ trial 1  keeps style\n" in text
        assert "refusals over time" in text
        await pilot.press("j")
        assert "out of memory" in shown(app, "#run-text")
        await pilot.press("G")
        assert "queued #2" in shown(app, "#run-text")
        command = shown(app, "#run-text").replace("\n", "")
        assert "heretic-tui run /models/olmo " in command
        assert " --n-trials 50 " in command

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))


def test_a_wide_terminal_shows_more_of_each_run(tmp_path: Path) -> None:
    three_runs(tmp_path / "runs")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        assert lines(app)[0] == "✓ done ★1 llama-8b 2/2 3/100 KL 0.1000 ◆ 1 96/100 1 keeps style"

    drive(make_app(tmp_path, opens="home"), steps, (200, 50))


def test_without_runs_the_list_says_what_to_do_and_the_first_steps_work(tmp_path: Path) -> None:
    begun: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        begun.append(settings)
        return fake_run.FakeHost()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        assert "No runs yet. d runs the demo, N sets one up." in drawn(app)
        assert "Nothing leaves this machine" in drawn(app)
        await pilot.press("N")
        assert app.current_mode == "setup"
        await pilot.press("0", "d")
        await settle(pilot, app)
        (settings,) = begun
        assert settings.model.endswith("demo/model")
        assert settings.runs_dir == str(tmp_path / "runs")

    drive(make_app(tmp_path, new_host=new_host, opens="home"), steps, (120, 46))


def test_to_open_an_old_run_leaves_the_one_at_work_alone_and_enter_comes_back_to_it(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    three_runs(runs_dir)
    working = make_run(runs_dir / "working", [opened(60)])
    working.lock()
    host = fake_run.FakeHost(working.path)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        await pilot.press("0")
        await look(pilot, app)
        assert "▶ preparing working" in lines(app)[0]
        assert "after working" in drawn(app)
        await pilot.press("j", "enter")
        await settle(pilot, app)
        assert app.current_mode == "trials"
        assert app.view.folder is not None
        assert app.view.folder.name == "llama-8b"
        assert app.at_work is host
        assert host.commands() == []
        assert any("goes on meanwhile" in text for text in told(app))
        # To go on with another one asks first; to delete the one at work is refused; to keep it is the first answer.
        await pilot.press("0", "G", "k", "k", "R")
        await pilot.pause()
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("q")
        await settle(pilot, app)
        assert app.at_work is host
        assert [entry.model for entry in QueueFile(runs_dir).read().entries][-1] == "acme/gemma"
        await pilot.press("R")
        await pilot.pause()
        await pilot.press("escape")
        assert app.at_work is host
        await pilot.press("g", "D")
        await settle(pilot, app)
        assert any("cannot be deleted" in text for text in told(app))
        await pilot.press("enter")
        await settle(pilot, app)
        assert app.view.host is host
        assert host.commands() == []

    drive(make_app(tmp_path, host, opens="home"), steps, (120, 46))
    working.unlock()


def test_a_run_is_deleted_after_a_question_with_its_size(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    three_runs(runs_dir)
    (runs_dir / "llama-8b" / "residuals.safetensors").write_bytes(b"x" * 3_000_000)
    (runs_dir / "llama-8b" / "exports").mkdir()
    (runs_dir / "llama-8b" / "exports" / "mine").mkdir()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)

        async def delete() -> str:
            await pilot.press("D")
            await threads_end(app)
            await pilot.pause()
            assert isinstance(app.screen, ChoiceDialog)
            return f"{app.screen.question.title} {app.screen.question.text}"

        asked = await delete()
        assert asked.startswith("Delete llama-8b?")
        assert re.search(r" 3(\.0\d)? MB", asked)
        assert "mine" in asked
        await pilot.press("enter")
        await threads_end(app)
        assert (runs_dir / "llama-8b").exists()
        await delete()
        await pilot.press("y")
        await threads_end(app)
        assert not (runs_dir / "llama-8b").exists()
        await look(pilot, app)
        assert not any("llama" in line for line in lines(app))

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))


def test_a_run_that_began_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    run = make_run(runs_dir / "llama-8b", [opened(2), *DONE])

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        await pilot.press("D")
        await threads_end(app)
        await pilot.pause()
        run.lock()
        await pilot.press("y")
        await threads_end(app)
        await settle(pilot, app)
        assert run.events.exists()
        assert any("is not deleted" in text for text in told(app))

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))
    run.unlock()


def test_the_queue_is_put_in_order_limited_and_emptied_by_keys(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    three_runs(runs_dir)
    file = QueueFile(runs_dir)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        await pilot.press("G", "K")
        assert [entry.model for entry in file.read().entries] == ["/models/olmo", "acme/qwen-14b"]
        await pilot.press("J", "J")
        assert [entry.model for entry in file.read().entries] == ["acme/qwen-14b", "/models/olmo"]
        await pilot.press("Q", "f", *"25", "enter")
        assert file.read().keep_free == 25e9
        await pilot.press("Q", "u", *"soon", "enter")
        assert "a stop time is" in drawn(app)
        await pilot.press(*["backspace"] * 4, *"2999-01-01", "enter")
        assert file.read().stop_at is not None
        file.fail(2, "no memory")
        await look(pilot, app)
        assert lines(app)[-1] == "✗ failed olmo -/50 no memory"
        await pilot.press("R")
        assert file.read().entries[1].problem is None
        await pilot.press("D", "y")
        await settle(pilot, app)
        assert [entry.model for entry in file.read().entries] == ["acme/qwen-14b"]

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))


def test_the_run_under_the_cursor_is_put_into_the_queue(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    make_run(runs_dir / "gemma", [opened(200), *trial(0, 0.2, 12), ev.RunEnded(outcome="interrupted")])

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        await pilot.press("Q", "a")
        await settle(pilot, app)
        (entry,) = QueueFile(runs_dir).read().entries
        assert entry.model == "acme/gemma"
        assert any("Queued as #1: acme/gemma" in text for text in told(app))

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))


def test_the_filter_leaves_what_fits_and_esc_brings_all_back(tmp_path: Path) -> None:
    three_runs(tmp_path / "runs")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        for typed, left in (("stop", ["gemma"]), ("marked", ["llama"]), ("style", ["llama"]), ("a done", ["llama"])):
            await pilot.press("slash", *typed, "enter")
            names = [line for line in lines(app) if "queued" not in line]
            assert len(names) == 1, typed
            assert left[0] in names[0]
            await pilot.press("escape")
        assert len(lines(app)) == 5

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))


def test_on_a_small_terminal_the_panes_come_one_at_a_time(tmp_path: Path) -> None:
    three_runs(tmp_path / "runs")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        titles = ["Runs (", "llama-8b", "This machine", "First time here?"]
        for title in [*titles, titles[0]]:
            await settle(pilot, app)
            screen = drawn(app)
            assert [each for each in titles if f"─ {each}" in screen or f"━ {each}" in screen] == [title]
            await pilot.press("v")
            await pilot.pause()

    drive(make_app(tmp_path, opens="home"), steps, (80, 24))


def test_a_live_run_is_followed_and_a_damaged_one_says_why(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    live = make_run(runs_dir / "live", [opened(60), ev.PhaseStarted(phase="search")])
    make_run(runs_dir / "damaged", [opened()]).events.write_text("}\n")
    live.lock()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        assert lines(app)[0] == "▶ searching live 0/60"
        append(live, trial(0, 0.3, 7))
        await look(pilot, app)
        assert lines(app)[0] == "▶ searching live 1/60 7/100 KL 0.3000 ◆ 1"
        await pilot.press("G")
        assert "damaged at line 1" in shown(app, "#run-text")

    drive(make_app(tmp_path, opens="home"), steps, (120, 46))
    live.unlock()


def test_a_run_is_resumed_with_its_own_settings_where_it_lies(tmp_path: Path) -> None:
    settings = load_settings({"model": "acme/guarded-8b", "n_trials": 7}, environment=False)
    run = make_run(tmp_path / "runs" / "stopped", [opened(7), *trial(0, 0.2, 12)])
    run.save_record(RunRecord(settings=settings.model_dump(mode="json"), model=settings.model))
    started: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        started.append(settings)
        return fake_run.FakeHost()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await look(pilot, app)
        await pilot.press("R")
        await settle(pilot, app)
        assert [(each.n_trials, Path(each.runs_dir)) for each in started] == [(7, tmp_path / "runs")]

    drive(make_app(tmp_path, opens="home", new_host=new_host), steps, (120, 46))


LOOKS = Looks("white", "white", "white", "white", "white", "green", "red", "yellow", "magenta")
GPU = Gpu(index=0, name="NVIDIA H100 80GB HBM3", busy=87, used=41_200_000_000, total=80_000_000_000, temperature=61,
          power=312.4, power_limit=700)  # fmt: skip
SAMPLE = MachineSample(time=100.0, host="gpu-03", load=3.1, cores=16, used=22_000_000_000, total=128_000_000_000)


def machine(sample: MachineSample | None, glyphs: Any = UNICODE, now: float = 100.0, width: int = 90) -> str:
    history = [sample] if sample else []
    return machine_words(sample, history, 412_000_000_000, Calls(command="~/bin/ping"), LOOKS, glyphs, width, now).plain


def test_the_machine_in_words() -> None:
    text = machine(replace(SAMPLE, gpus=(GPU, replace(GPU, index=1, busy=None, used=None))))
    first = text.splitlines()[0]
    assert all(part in first for part in ("GPU 0", "H100", " 87 %", "41.2/80 GB", "61 °C", "312 W/700"))
    assert "load 3.1/16 cores" in text
    assert "22 GB of 128 GB" in text
    assert "412 GB free" in text
    assert "bell on, notice auto, command ~/bin/ping" in text
    assert "the driver is lost" in machine(replace(SAMPLE, problem="the driver is lost"))
    assert "not looked at for 0:30" not in machine(SAMPLE)
    assert "not looked at for 30 s" in machine(SAMPLE, now=130.0)
    assert machine(None) == "looking at this machine"
    assert machine(replace(SAMPLE, gpus=(GPU,)), ASCII).isascii()


def test_the_history_grows_from_the_right() -> None:
    assert filled_curve([], 10, UNICODE) == " " * 10
    assert filled_curve([100.0] * 300, 4, UNICODE) == "⣿" * 4
    assert filled_curve([100.0], 4, UNICODE) == "   ⢸"


@pytest.mark.parametrize(
    ("ago", "words"), [(5, "1 min"), (300, "5 min"), (7200, "2 h"), (86400 * 30, None), (86400 * 2, None)]
)
def test_ages(ago: float, words: str | None) -> None:
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.run.overview import RunOverview
    from heretic_tui.run.shelf import Glance

    now = time.time()
    glance = Glance(overview=RunOverview(folder=RunFolder(Path("x")), state="done"), word="done", ended=now - ago)
    expected = words or time.strftime("%a" if ago < 86400 * 6 else "%d %b", time.localtime(now - ago))
    assert age(glance, now) == expected
    assert age(replace(glance, pid=1), now) == "now"


def test_minutes() -> None:
    assert [in_minutes(seconds) for seconds in (40, 600, 3900)] == ["40 s", "10 min", "1 h 05 min"]
