"""The review of two models without a run, in an application of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui.run.annotations import read_annotations
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import EDITED, Models
from heretic_tui.run.reviews import Review, read_review
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.messages import Say
from heretic_tui.tui.models_app import ModelsApp
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.dialogs import TextDialog
from heretic_tui.tui.screens.review_models import ModelsScreen
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support.reviewed import write_review
from tests.support.screens import drawn, shown, threads_end

Drive = Callable[[Pilot[Any], ModelsApp], Any]


@pytest.fixture
def found(folder: Path) -> Review:
    write_review(folder, {None: 38, EDITED: 3})
    kept = ReviewFolder(RunFolder(folder).review)
    kept.keep_models(Models(base="acme/guarded-8b", edited="me/[red]free-8b"))
    return read_review(kept.path, ["held_out"])


def show(found: Review, steps: Drive, size: tuple[int, int] = (120, 40), **interface: Any) -> ModelsApp:
    app = ModelsApp(RunFolder(found.folder.path.parent), found, Interface(**interface), strict=True)

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(go())
    return app


async def until(pilot: Pilot[Any], app: ModelsApp, true: Callable[[], bool]) -> None:
    for _ in range(100):
        app.tick()
        await pilot.pause()
        await threads_end(app)
        app.view.reviews.join()
        if true():
            return
    raise AssertionError(drawn(app))


def cells(app: ModelsApp) -> tuple[str, ...]:
    """Those of held-out refusals."""
    return next(row.cells for row in app.screen.query_one(LineTable).rows if row.key == ("held_out", "refused"))


def test_both_models_stand_side_by_side(found: Review) -> None:
    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        text = drawn(app)
        assert "edited: me/[red]free-8b" in text
        assert "original: acme/guarded-8b" in text
        assert "Review of two models" in text
        assert "trial" not in text
        assert "KL divergence of the first token " in text, "where there is room names are whole"
        table = app.screen.query_one(LineTable)
        assert [column.title.strip(" ▸●") for column in table.columns[1:]] == ["original", "edited"]
        assert cells(app)[1].startswith("38/40")
        assert cells(app)[2].startswith("3/40")
        assert "the edited model" in text, "its figure in words"
        await pilot.press("b")
        await pilot.pause()
        assert "within chance of edited" in shown(app, "#review-words")
        assert app.told
        assert app.told.text == "All columns are compared with the edited model now."

    show(found, steps)


def test_keys_copy_help_and_leave(found: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(ModelsApp, "copy_to_clipboard", lambda app, text: copied.append(text))

    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        await pilot.press("y")
        await pilot.pause()
        assert copied[0].splitlines()[0] == "\toriginal\tedited"
        assert app.told
        assert app.told.text.endswith("/clipboard.txt"), "in which folder, since there is no run"
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, TextDialog)
        text = drawn(app)
        for needs_a_run in ("export", "ask for a review, or", "go to the chosen trial", "the screen Setup"):
            assert needs_a_run not in text
        await pilot.press("escape")
        await pilot.pause()
        # Keys that are another screen's do nothing.
        await pilot.press("enter", "e", "R", "3", "V", "h", "l", "l", "v")
        await pilot.pause()
        assert app.is_running
        await pilot.press("q")

    app = show(found, steps)
    assert not app.is_running
    assert app._exception is None


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 50)])
def test_it_is_drawn_in_ascii_at_every_size(found: Review, size: tuple[int, int]) -> None:
    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        for keys in ((), ("b",), ("y",), ("h",), ("v",)):
            await pilot.press(*keys)
            await pilot.pause()
            assert drawn(app).isascii()

    show(found, steps, size, ascii=True)


def test_held_out_answers_are_gone_through_and_overruled(found: Review) -> None:
    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        await pilot.press("r")
        await until(pilot, app, lambda: isinstance(app.screen, CompareScreen) and "cannot help" in drawn(app))
        text = drawn(app)
        assert "the edited model against the original model" in text
        assert "me/[red]free-8b" in text
        assert "trial" not in text.lower()
        # The first of three refusals is an answer to a person.
        await pilot.press("a")
        await pilot.pause()
        assert app.told
        assert app.told.text.endswith("refused → answered; edited now 2/40")
        await pilot.press("question_mark")
        await pilot.pause()
        text = drawn(app)
        for needs_a_run in ("export", "decode", "chat with", "mark the trial", "choose what"):
            assert needs_a_run not in text.partition("Each line is a prompt")[0]
        await pilot.press("escape", "c", "e", "m", "o", "d", "full_stop", "f", "escape")
        await until(pilot, app, lambda: isinstance(app.screen, ModelsScreen))
        await until(pilot, app, lambda: "2/40" in cells(app)[2])

    show(found, steps)
    folder = RunFolder(found.folder.path.parent)
    assert len(read_annotations(folder).verdicts) == 1, "it is kept"


def test_where_nothing_was_found_it_says_where_to_look(folder: Path) -> None:
    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        assert "No check has found anything" in shown(app, "#figure")
        await pilot.press("b", "y", "l", "enter")
        await pilot.pause()
        assert app.told
        assert app.told.text == "Nothing has been reviewed yet."

    kept = ReviewFolder(RunFolder(folder).review)
    kept.keep_models(Models(base="acme/guarded-8b", edited="me/free-8b"))
    show(read_review(kept.path, []), steps)


def test_what_a_screen_says_is_told(found: Review) -> None:
    async def steps(pilot: Pilot[Any], app: ModelsApp) -> None:
        app.post_message(Say("something"))
        await pilot.pause()
        assert "something" in shown(app, "#message-line")

    show(found, steps)
