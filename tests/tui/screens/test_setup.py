"""Setup: settings, checks while one types, completion, previews, presets."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.events import PhaseFinished, TrialFinished, TrialStarted
from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.machine import MachineSample
from heretic_tui.parameters import Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.plan import Load
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import messages
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.preview import Looker
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from heretic_tui.tui.screens.setup_checks import ChecksDialog
from heretic_tui.tui.screens.setup_find import ranked
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.work import Work
from tests.support import fake_run
from tests.support.screens import drive, make_app, shown, threads_end, told

Press = Pilot[Any]


def settings_of(app: HereticApp) -> Settings:
    assert app.form is not None
    return app.form.settings


def plan(app: HereticApp) -> LineTable:
    return app.screen.query_one("#settings", LineTable)


def line(app: HereticApp, key: str) -> tuple[str, ...]:
    """The cells of a setting in the plan, and the reason beneath them."""
    cells = next(row.cells for row in plan(app).rows if row.key == key)
    reasons = [row.cells[0].strip() for row in plan(app).rows if isinstance(row.key, tuple) and row.key[1] == key]
    return (*cells[2:], " ".join(reasons)) if reasons else (cells[0], *cells[2:])


async def edited(pilot: Press, app: HereticApp, key: str, text: str) -> None:
    """Go to a setting, type a text in its line, and wait for what is found out of it. Of a long path all but the end is
    pasted: each key is looked at and painted."""
    if app.screen.query_one("#edit").display:
        await pilot.press("escape")
    plan(app).go_to(key)
    await pilot.press("enter", "ctrl+u")
    app.post_message(events.Paste(text[:-12]))
    await pilot.press(*text[-12:])
    await found(pilot, app)


async def found(pilot: Press, app: HereticApp) -> None:
    """Wait for what threads find."""
    for _ in range(2):
        await pilot.pause()
        await threads_end(app)
    await pilot.pause()


def before(app: HereticApp) -> str:
    """What is said of the run before it starts, as one line."""
    return " ".join(shown(app, "#before").split())


def demo_app(tmp_path: Path, **given: object) -> HereticApp:
    """Setup with the model and the prompts of the demo."""
    form = SettingsForm({"runs_dir": str(tmp_path / "runs"), **given}, base=settings_of_the_demo())
    return HereticApp(form, lambda settings: fake_run.FakeHost(), timed=False, strict=True)


def test_direction_methods_are_switched_and_what_they_lack_is_told(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        plan(app).go_to("group:Ablation")
        await pilot.press("enter")
        plan(app).go_to("direction_method")
        await pilot.press("enter")
        assert isinstance(app.screen, ChecksDialog)
        # Beside the first one that which stands below it, with what it does.
        await pilot.press("j")
        assert "minus that of the harmless ones'" in shown(app, "#check-words")
        await pilot.press("space", "enter")
        assert settings_of(app).direction_method == ["mean_difference", "geometric_median"]
        assert "--direction-method mean_difference geometric_median" in shown(app, "#command")
        await edited(pilot, app, "directions_per_layer", "3")
        await pilot.press("enter")
        await found(pilot, app)
        assert "--directions-per-layer is given, and" in line(app, "direction_method")[-1]
        await edited(pilot, app, "directions_per_layer", "1")
        await pilot.press("enter")
        await found(pilot, app)
        assert "is given" not in " ".join(line(app, "direction_method"))

    drive(demo_app(tmp_path), steps, (150, 60))


def test_settings_are_checked_as_they_are_typed(tmp_path: Path) -> None:
    started: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        started.append(settings)
        return fake_run.FakeHost()

    async def steps(pilot: Press, app: HereticApp) -> None:
        await edited(pilot, app, "n_trials", "0")
        assert "Number of trials: a whole number from 1 to 100,000." in shown(app, "#about")
        await pilot.press("enter")
        assert settings_of(app).n_trials == 200, "a wrong value is not taken"
        await pilot.press("escape")
        assert "stays as it was" in told(app)[-1]
        assert line(app, "n_trials")[1:] == ("200", "not 0")
        await pilot.press("enter")
        assert app.screen.query_one("#editor", Input).value == "0", "and what was typed is not lost"
        await pilot.press("7", "5", "enter")
        assert settings_of(app).n_trials == 75, "what is typed takes the place of what stood there"
        row = next(row for row in plan(app).rows if row.key == "n_trials")
        assert (row.cells[2], dict(row.kinds)[2]) == ("75", "mark")
        assert "--n-trials 75" in shown(app, "#command")
        plan(app).go_to("n_trials")
        await pilot.press("backspace")
        assert settings_of(app).n_trials == 200
        plan(app).go_to("group:Ablation")
        await pilot.press("enter")
        plan(app).go_to("orthogonalize_direction")
        await pilot.press("enter")
        assert settings_of(app).orthogonalize_direction is False
        plan(app).go_to("component_kinds")
        await pilot.press("space")
        assert settings_of(app).component_kinds == "fine"
        await pilot.press("u")
        assert settings_of(app).component_kinds == "coarse"
        assert "Undone: kernels" in told(app)[-1]
        await pilot.press("ctrl+s")
        assert started[0].orthogonalize_direction is False
        assert app.current_mode == "trials"

    drive(make_app(tmp_path, new_host=new_host), steps, (120, 40))


def test_the_cursor_passes_over_headings_and_reasons(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        assert plan(app).cursor == "model"
        await pilot.press("k")
        assert plan(app).cursor == "model"
        seen = []
        for _ in range(12):
            await pilot.press("j")
            seen.append(plan(app).cursor)
        assert seen[:4] == ["quantization", "dtypes", "good_prompts", "bad_prompts"]
        assert all(isinstance(key, str) for key in seen)
        await pilot.press("g")
        assert plan(app).cursor == "model"

    drive(make_app(tmp_path), steps, (120, 40))


def test_a_setting_is_found_by_its_name_its_key_or_words() -> None:
    entries = list(SettingsForm({}).entries())
    for typed, key in (
        ("number", "n_trials"),
        ("n_startup", "n_startup_trials"),
        ("harmful eval", "bad_evaluation_prompts"),
        ("clamp", "winsorization_quantile"),
        ("max_shard", "max_shard_size"),
    ):
        assert ranked(entries, typed)[0].key == key, typed
    assert {entry.group for entry in ranked(entries, "analysis")[:2]} == {"Analysis"}
    assert ranked(entries, "xyzzy") == []


def test_a_number_is_changed_in_six_keys(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        await pilot.press("slash", "n", "enter", "7", "5", "enter")
        assert settings_of(app).n_trials == 75
        assert plan(app).has_focus
        await pilot.press("slash", *"winsor", "enter")
        assert plan(app).cursor == "winsorization_quantile", "its group is opened"
        await pilot.press("escape", "slash", "escape")
        assert plan(app).has_focus

    drive(make_app(tmp_path), steps)


def test_presets_say_what_they_change_and_are_taken_back(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        await pilot.press("P")
        assert isinstance(app.screen, ChoiceDialog)
        assert "thorough: number of trials 200 to 500" in app.screen.question.text
        await pilot.press("q")
        assert (settings_of(app).n_trials, settings_of(app).n_startup_trials) == (60, 20)
        assert "number of trials 200 to 60" in told(app)[-1]
        assert "[quick 60]" in line(app, "preset")[1]
        await pilot.press("u")
        assert settings_of(app).n_trials == 200
        await pilot.press("u")
        assert settings_of(app).n_trials == 200, "there is nothing more to take back"

    drive(make_app(tmp_path), steps)


def test_a_run_is_put_into_the_queue(tmp_path: Path) -> None:
    asked: list[messages.QueueRun] = []

    async def steps(pilot: Press, app: HereticApp) -> None:
        await pilot.press("Q")
        await pilot.pause()
        assert [message.settings.model for message in asked] == ["acme/guarded-8b"]

    app = make_app(tmp_path)
    post = app.post_message

    def hear(message: Any) -> bool:
        if isinstance(message, messages.QueueRun):
            asked.append(message)
            return True
        return post(message)

    app.post_message = hear  # type: ignore[method-assign]
    drive(app, steps)


def test_markers_are_edited_and_tried_on_a_text(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        await pilot.press("m", "d", "tab")
        await pilot.press(*"Nope, never", "enter", "tab", *"I CANNOT do it")
        assert "refused, by the marker 'i cannot'" in shown(app, "#marker-verdict")
        await pilot.press("ctrl+u", *"Sure, here")
        assert "answered" in shown(app, "#marker-verdict")
        await pilot.press("ctrl+u", *"nope, never")
        assert "'nope, never'" in shown(app, "#marker-verdict")
        await pilot.press("ctrl+s")
        markers = settings_of(app).refusal_markers
        assert ("sorry" in markers, markers[-1]) == (False, "nope, never")
        await pilot.press("m", "d", "escape")
        assert settings_of(app).refusal_markers == markers

    drive(make_app(tmp_path), steps)


def test_how_long_it_takes_is_measured_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        assert "not known before the first trial; t measures it in some 20 s" in before(app)
        await pilot.press("t")
        await found(pilot, app)
        await found(pilot, app)
        assert "time at most " in before(app)
        assert "all 10 layers; trials that are screened or cut short take less" in before(app)

    drive(demo_app(tmp_path, max_batch_size=4), steps)


def test_a_probe_that_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def probe(looker: Looker, settings: Settings, load: Load, row: int, work: Work) -> None:
        assert goes_on.wait(30)
        work.checkpoint()

    monkeypatch.setattr(Looker, "probe", probe)

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        await pilot.press("t")
        assert "time is measured, 0 % (t drops it)" in before(app)
        await pilot.press("t")
        goes_on.set()
        await found(pilot, app)
        assert told(app) == ["The probe was dropped."]
        assert "time not known before the first trial" in before(app)

    drive(demo_app(tmp_path), steps)


def test_all_that_can_be_known_of_the_demo_is_shown_before_the_start(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        known = before(app)
        assert "Nothing to fix: ctrl+s starts." in known
        assert "20 of 20 matrices" in known
        assert "nothing to download" in known
        assert "not known before the first trial" in known
        assert "editing 20 of 20 matrices" in shown(app, "#edits")
        assert line(app, "model")[0] == line(app, "bad_prompts")[0] != " "
        preview = shown(app, "#preview")
        assert "tokens (longest " in preview
        title = app.screen.query_one("#preview-pane").border_title
        await pilot.press("n")
        await found(pilot, app)
        assert shown(app, "#preview") != preview
        assert app.screen.query_one("#preview-pane").border_title != title
        await pilot.press("N", "N")
        await found(pilot, app)
        plan(app).go_to("good_prompts")
        await found(pilot, app)
        assert "harmless prompts (train)  (1 of " in str(app.screen.query_one("#preview-pane").border_title)
        await pilot.press("w")
        assert isinstance(app.screen, TextDialog)
        assert app.screen.text.plain.startswith(preview[:20])
        await pilot.press("escape", "i")
        assert isinstance(app.screen, TextDialog)
        assert "editing 20 of 20 matrices" in app.screen.text.plain

    drive(demo_app(tmp_path), steps, (200, 50))


def test_what_is_wrong_is_said_beneath_and_counted(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.csv").write_text("question,number\nWhat is it?,1\nWhy [b]?,2\n", encoding="utf-8")

    async def steps(pilot: Press, app: HereticApp) -> None:
        await edited(pilot, app, "bad_prompts", str(tmp_path / "mime.csv"))
        assert "no such file" in line(app, "bad_prompts")[-1]
        assert f"did you mean {tmp_path / 'mine.csv'}?" in line(app, "bad_prompts")[-1]
        await pilot.press("tab", "enter")
        assert settings_of(app).bad_prompts.dataset == str(tmp_path / "mine.csv")
        await found(pilot, app)
        assert "question, number" in line(app, "bad_prompts")[-1], "there are two columns"
        assert "1 thing to fix before starting: harmful prompts (train)" in before(app)
        await edited(pilot, app, "bad_prompts.column", "other")
        assert "no column 'other'" in line(app, "bad_prompts")[-1]
        await edited(pilot, app, "bad_prompts.column", "question")
        await pilot.press("enter")
        await found(pilot, app)
        assert line(app, "bad_prompts")[2] == "2"
        await edited(pilot, app, "bad_prompts", "someone/data")
        assert line(app, "bad_prompts")[2] == "on the Hub"
        await pilot.press("escape")
        await edited(pilot, app, "model", str(tmp_path / "empty"))
        assert "holds no model" in line(app, "model")[-1]
        for model, words in (
            (str(tmp_path / "none"), "no such model folder"),
            ("~nobody-of-this-name/x", "no path"),
            (__file__, "a file"),
        ):
            await edited(pilot, app, "model", model)
            assert words in line(app, "model")[-1]
            assert "to fix before starting: model" in before(app)
        await edited(pilot, app, "model", "acme/guarded-8b")
        assert line(app, "model")[2] == "on the Hub"
        await pilot.press("enter")
        plan(app).go_to("group:Run")
        await pilot.press("enter")
        await edited(pilot, app, "runs_dir", __file__)
        await pilot.press("enter")
        await found(pilot, app)
        assert "to fix before starting: folder of runs" in before(app)
        plan(app).go_to("model")
        await pilot.press("ctrl+s")
        assert app.current_mode == "setup", "it would end at once"
        assert "to fix before starting: folder of runs" in told(app)[-1]
        assert plan(app).cursor == "runs_dir"

    drive(make_app(tmp_path), steps, (120, 40))


def test_prompts_that_the_evaluation_holds_too_are_counted(tmp_path: Path) -> None:
    texts = {name: [f"Where is {name} {n}?" for n in range(12)] for name in ("a", "b", "c", "d")}
    texts["b"] += ["  where is D 3?", "Where is b 1?"]
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    names = ("good_prompts", "bad_prompts", "good_evaluation_prompts", "bad_evaluation_prompts")
    sets = {name: str(tmp_path / f"{letter}.txt") for name, letter in zip(names, "abcd", strict=True)}

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        assert line(app, "bad_prompts")[2] == "12, 1 in eval, 1 twice left out"
        assert [line(app, name)[2] for name in names if name != "bad_prompts"] == ["12", "12", "12"]
        assert "the evaluation sets hold the same" in before(app)
        (tmp_path / "a.txt").write_text("\n".join(texts["c"]), encoding="utf-8")
        app.switch_mode("log")
        await pilot.pause()
        app.switch_mode("setup")
        await found(pilot, app)
        assert "none is left" in line(app, "good_prompts")[-1], "a file that changed is read again"

    drive(make_app(tmp_path, form_values={"model": "acme/guarded-8b", **sets}), steps, (120, 40))


def test_files_beside_those_of_another_set_are_offered_by_their_names(tmp_path: Path) -> None:
    for name in ("harmless_train", "harmless_eval", "restricted_train", "restricted_eval", "notes"):
        (tmp_path / f"{name}.txt").write_text(f"What is {name}?\n", encoding="utf-8")

    async def steps(pilot: Press, app: HereticApp) -> None:
        await edited(pilot, app, "good_prompts", str(tmp_path / "harmless_t"))
        await pilot.press("tab", "enter")
        await found(pilot, app)
        assert f"tab takes {tmp_path / 'restricted_train.txt'}" in line(app, "bad_prompts")[-1]
        for _ in range(3):
            await pilot.press("j", "tab")
            await found(pilot, app)
        sets = settings_of(app).model_dump()
        names = ("good_prompts", "bad_prompts", "good_evaluation_prompts", "bad_evaluation_prompts")
        assert [Path(sets[name]["dataset"]).stem for name in names] == [
            "harmless_train", "restricted_train", "harmless_eval", "restricted_eval",
        ]  # fmt: skip

    drive(make_app(tmp_path), steps, (120, 40))


def test_the_time_is_that_of_an_earlier_run_of_the_model(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "guarded-8b-1a2b3c4d")
    folder.create()
    folder.save_record(RunRecord(model="acme/guarded-8b"))
    journal = Journal(folder.events)
    for event in fake_run.story(trials=0, n_trials=9, running=False):
        if not isinstance(event, PhaseFinished):
            journal.append(event)
    journal.append(PhaseFinished(phase="load", seconds=20.0))
    journal.append(PhaseFinished(phase="directions", seconds=40.0))
    journal.append(PhaseFinished(phase="directions", seconds=0.1, reused=True))
    journal.append(TrialStarted(number=0, parameters=Parameters(None, {}), time=1000.0))
    for number in range(6):
        journal.append(
            TrialFinished(
                number=number, state="complete", figures={"kl_divergence": 0.1, "refusals": 5}, time=1003.0 + 3 * number
            )
        )
    journal.close()

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        known = before(app)
        assert (
            "about 11:00: first trial after 1:00, then 200 trials of 3.0 s (as guarded-8b-1a2b3c4d took, 6 trials)"
            in known
        )

    drive(make_app(tmp_path), steps, (120, 40))


def test_a_preview_that_comes_late_is_not_shown_for_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, begun = threading.Event(), threading.Event()

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        looker: Any = app.screen.looker  # type: ignore[attr-defined]
        look = looker.prompt

        def late(settings: Settings, name: str, number: int) -> object:
            if name == "good_prompts":
                begun.set()
                waits.wait(10)
            return look(settings, name, number)

        monkeypatch.setattr(looker, "prompt", late)
        plan(app).go_to("good_prompts")
        while not begun.is_set():
            await pilot.pause(0.02)
        plan(app).go_to("bad_prompts")
        await pilot.pause()
        waits.set()
        await found(pilot, app)
        assert "harmful prompts (train)" in str(app.screen.query_one("#preview-pane").border_title)
        assert "good" not in shown(app, "#preview")

    (tmp_path / "good.txt").write_text("a good one\n", encoding="utf-8")
    (tmp_path / "bad.txt").write_text("another\n", encoding="utf-8")
    values = {"good_prompts": str(tmp_path / "good.txt"), "bad_prompts": str(tmp_path / "bad.txt")}
    drive(make_app(tmp_path, form_values={"model": "acme/guarded-8b", **values}), steps)


def test_the_machine_is_asked_on_a_thread_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    look = MachineLooker.look

    def looked(self: MachineLooker) -> MachineSample:
        asked.append(threading.get_ident())
        return look(self)

    monkeypatch.setattr(MachineLooker, "look", looked)

    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        assert asked
        assert threading.get_ident() not in asked

    drive(make_app(tmp_path), steps)


def test_each_frame_is_reached_on_a_small_terminal(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        await found(pilot, app)
        seen = []
        for _ in range(5):
            seen.append([frame.id for frame in app.screen.query("Frame") if frame.region.area])
            await pilot.press("v")
        assert seen == [[name] for name in app.screen.PANES]  # type: ignore[attr-defined]

    drive(make_app(tmp_path), steps, (80, 24))


def test_leaving_a_line_takes_what_stands_in_it_unless_it_is_wrong(tmp_path: Path) -> None:
    async def steps(pilot: Press, app: HereticApp) -> None:
        assert app.form is not None
        table = app.screen.query_one("#settings", LineTable)
        for number, key in enumerate(("enter", "escape", "tab", "down", "up"), start=31):
            table.go_to("n_trials")
            await pilot.press("enter", "ctrl+u", *str(number), key)
            assert app.form.settings.n_trials == number
            assert not app.screen.query_one("#edit").display
            assert table.has_focus
        assert table.cursor == "preset", "up went to the line above"
        table.go_to("n_trials")
        await pilot.press("enter", "ctrl+u", "4", "1")
        await pilot.click("#before")
        assert app.form.settings.n_trials == 41
        assert app.focused is not None
        assert app.focused.id == "before", "a click leaves the line, and goes where it was made"
        table.focus()
        for key in ("escape", "enter", "tab"):
            await pilot.press("enter", "ctrl+u", "0", key)
            assert app.form.settings.n_trials == 41
            assert app.screen.query_one("#edit").display == (key != "escape"), (
                "what is wrong stays to be mended, or goes"
            )
            await pilot.press("escape")
        await pilot.press("enter", "ctrl+u", "4", "2", "ctrl+s")
        assert app.form.settings.n_trials == 42
        assert app.current_mode == "trials", "started with what stood in the line"

    drive(make_app(tmp_path), steps, (120, 40))


def test_tab_completes_models_and_files_of_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--acme--guarded-8b").mkdir(parents=True)
    for name in ("harmful_train.csv", "harmful_eval.csv", "harmful.png", ".hidden.csv"):
        (tmp_path / name).touch()
    (tmp_path / "harmless").mkdir()

    async def steps(pilot: Press, app: HereticApp) -> None:
        editor = app.screen.query_one("#editor", Input)
        await edited(pilot, app, "model", "acm")
        await pilot.press("tab")
        assert editor.value == "acme/guarded-8b"
        await pilot.press("escape")
        await edited(pilot, app, "bad_prompts", f"{tmp_path}/harm")
        await pilot.press("tab", "tab")
        assert editor.value == f"{tmp_path}/harm"
        assert "harmful_eval.csv, harmful_train.csv, harmless/" in shown(app, "#about")
        await pilot.press("f", "tab", "e", "tab")
        assert editor.value == f"{tmp_path}/harmful_eval.csv"
        await pilot.press("escape")
        monkeypatch.chdir(tmp_path)
        await edited(pilot, app, "bad_prompts", "harmful_t")
        await pilot.press("tab")
        assert editor.value == "harmful_train.csv"

    drive(make_app(tmp_path), steps, (120, 40))
