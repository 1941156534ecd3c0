"""Responses: for each bad evaluation prompt what the base model and a trial answered, and what decided the verdict."""

from __future__ import annotations

import json

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.errors import HereticError
from heretic_tui.run.results import ResponseRecord, read_responses
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.preview import marker_place
from heretic_tui.tui.screens.base import SubScreen
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain

_FILTERS = ("all", "changed", "worth a look")
# A refusal that comes this late may be a caveat in an answer.
_LATE = 80


class ResponsesScreen(SubScreen):
    """A list of prompts, and both answers to the one under the cursor."""

    SCOPE = "responses"
    AUTO_FOCUS = "#prompts"
    BINDINGS = [
        Binding("f", "filter", "All, changed, worth a look", tooltip="all, changed verdicts, those worth a look"),
        Binding("n", "step(1)", "Next"),
        Binding("N", "step(-1)", "Previous", show=False),
        Binding("y", "copy", "Copy"),
        Binding("space", "page(1)", "Scroll answers", show=False),
    ]

    def __init__(self, trial: int) -> None:
        super().__init__()
        self._trial = trial
        self._filter = "all"
        self._pairs: list[tuple[ResponseRecord, ResponseRecord]] = []

    def body(self) -> ComposeResult:
        yield Static("", markup=False, id="responses-title")
        with Vertical(id="responses-body"):
            columns = [
                Column("number", "#", 4, right=True),
                Column("base", "base", 8),
                Column("trial", "trial", 8),
                Column("prompt", "prompt", 0),
            ]
            yield LineTable(columns, id="prompts", empty="none of the responses is such")
            yield TextPanel(id="answer-text")

    def on_mount(self) -> None:
        folder = self.view.folder
        assert folder is not None
        try:
            base, trial = (read_responses(folder, number) for number in (None, self._trial))
        except (FileNotFoundError, HereticError) as error:
            self.query_one("#answer-text", TextPanel).show(safe_lines(f"the responses cannot be read: {error}"))
            return
        self._pairs = list(zip(base, trial, strict=False))
        self._fill()

    def paint(self, kinds: frozenset[str]) -> None:
        """Responses do not change while they are looked at."""

    def _chosen(self) -> list[int]:
        chosen = []
        for index, (base, trial) in enumerate(self._pairs):
            changed = _changed(base, trial)
            if self._filter == "all" or (changed if self._filter == "changed" else doubtful(trial, self._place(trial))):
                chosen.append(index)
        return chosen

    def _place(self, response: ResponseRecord) -> tuple[int, int] | None:
        opened = self.view.state.opened
        skips = opened.settings.get("chain_of_thought_skips") if opened else None
        return marker_place(response, skips if isinstance(skips, list | tuple) else ())

    def _fill(self) -> None:
        chosen = self._chosen()
        rows = [
            Row(
                index,
                (
                    str(index),
                    _word(self._pairs[index][0]),
                    _word(self._pairs[index][1]),
                    plain(self._pairs[index][1].prompt.replace("\n", " ")),
                ),
                "changed" if _changed(*self._pairs[index]) else "row",
            )
            for index in chosen
        ]
        self.query_one("#prompts", LineTable).set_rows(rows)
        title = f"responses of trial {self._trial}: {len(chosen)} of {len(self._pairs)}, {self._filter}"
        self.query_one("#responses-title", Static).update(Text(title, style="bold"))
        self._show()

    @on(LineTable.Highlighted, "#prompts")
    def _show(self) -> None:
        key = self.query_one("#prompts", LineTable).cursor
        text = Text()
        if key is not None:
            base, trial = self._pairs[int(str(key))]
            text.append("prompt\n", "bold")
            text.append_text(safe_lines(trial.prompt))
            for name, response in (("base model", base), (f"trial {self._trial}", trial)):
                text.append(f"\n\n{name}: {_reason(response)}\n", "bold")
                if response.refused is not None:
                    place = self._place(response)
                    text.append_text(marked(response.text, place, response.whole))
        panel = self.query_one("#answer-text", TextPanel)
        panel.scroll_home(animate=False)
        panel.show(text)

    def action_filter(self) -> None:
        self._filter = next_choice(_FILTERS, self._filter)
        self._fill()

    def action_step(self, by: int) -> None:
        self.query_one("#prompts", LineTable).action_move(by)

    def action_page(self, pages: int) -> None:
        self.query_one("#answer-text", TextPanel).action_scroll(10 * pages)

    def action_copy(self) -> None:
        key = self.query_one("#prompts", LineTable).cursor
        if key is not None:
            base, trial = self._pairs[int(str(key))]
            record = {"prompt": trial.prompt, "base": _copied(base), f"trial {self._trial}": _copied(trial)}
            self.ask(CopyText(json.dumps(record, indent=1, ensure_ascii=False), "prompt and responses"))


def doubtful(response: ResponseRecord, place: tuple[int, int] | None) -> bool:
    """Whether the user would want to check a verdict: an empty response, or a marker that comes late."""
    if response.refused is None:
        return False
    return not response.text.strip() or (place is not None and place[0] > _LATE)


def marked(text: str, place: tuple[int, int] | None, whole: bool = True) -> Text:
    """A response with the marker that made it a refusal set off. One that is not whole was decoded no further than to
    its verdict."""
    shown = safe_lines(text or "(empty)")
    if place:
        # What is made visible takes more room than it took.
        start, end = (len(safe_lines(text[:where]).plain) for where in place)
        shown.stylize("bold reverse", start, end)
    if not whole:
        shown.append(" […]", "dim")
    return shown


def _copied(response: ResponseRecord) -> str | None:
    if response.refused is None:
        return None
    return response.text if response.whole else response.text + " […]"


def _changed(base: ResponseRecord, trial: ResponseRecord) -> bool:
    return trial.refused is not None and base.refused != trial.refused


def _word(response: ResponseRecord) -> str:
    if response.refused is None:
        return "-"
    return "refused" if response.refused else "answers"


def _reason(response: ResponseRecord) -> str:
    if response.refused is None:
        return "no verdict: the trial was dominated before this prompt was decided"
    if not response.refused:
        return "answers"
    return f"refused, by {response.marker!r}" if response.marker else "refused: the response is empty"
