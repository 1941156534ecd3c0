"""A dialog for what a person says of a trial: its tags and a note."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Label, Static

from heretic_tui.run.annotations import MOST_TAGS, Annotations, Note, Tag, Word, note_problem, tag_problem
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.message_box import MessageBox
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import plain


@dataclass(frozen=True)
class Said:
    """What a person typed."""

    tags: tuple[str, ...]
    note: str

    def words(self, trial: int, annotations: Annotations) -> list[Word]:
        """What of it differs from what the run has."""
        before = annotations.tags(trial)
        words: list[Word] = [Tag(trial=trial, tag=tag, on=False) for tag in before if tag not in self.tags]
        words += [Tag(trial=trial, tag=tag, on=True) for tag in self.tags if tag not in before]
        if self.note != annotations.note(trial):
            words.append(Note(trial=trial, note=self.note))
        return words


class AnnotateDialog(Dialog[Said | None]):
    """Tags in a line, the note below; enter keeps both."""

    SCOPE = "dialog"
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, trial: int, annotations: Annotations) -> None:
        super().__init__()
        self._trial = trial
        self._tags, self._note = " ".join(annotations.tags(trial)), annotations.note(trial)
        known = ", ".join(annotations.all_tags[:12])
        self._hint = (
            f"Tags in use: {known}" if known else "Tags are words with spaces between them; / tag:WORD finds them."
        )

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog", id="annotate"):
            yield Static(
                Text(f"Tags and note of trial {self._trial}", style="bold"), markup=False, classes="dialog-title"
            )
            yield Label("Tags", markup=False)
            yield QuietInput(self._tags, id="tags", select_on_focus=False)
            yield Label("Note", markup=False)
            yield MessageBox("what you want to remember of it", id="note")
            yield Static(safe_lines(self._hint), markup=False, id="problem")
            yield Static(
                "enter keeps it, tab goes to the other field, alt+enter begins a line, esc leaves", markup=False
            )

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(MessageBox).set_text(self._note)
        self.query_one("#tags").focus()

    @property
    def said(self) -> Said:
        tags = self.query_one("#tags", Input).value.lower().replace(",", " ").replace("#", " ").split()
        return Said(tuple(dict.fromkeys(tags)), self.query_one(MessageBox).text.strip())

    def problem(self) -> str | None:
        """What is wrong with what is typed."""
        said = self.said
        wrong = next((plain(f"{tag[:40]}: {found}") for tag in said.tags if (found := tag_problem(tag))), None)
        many = f"a trial has at most {MOST_TAGS} tags" if len(said.tags) > MOST_TAGS else None
        return wrong or many or note_problem(said.note)

    def _look(self) -> None:
        problem = self.problem()
        self.query_one("#problem", Static).update(
            safe_lines(problem or self._hint, f"bold {self.looks.bad}" if problem else "")
        )

    def on_input_changed(self) -> None:
        self._look()

    def on_text_area_changed(self) -> None:
        self._look()

    def on_input_submitted(self) -> None:
        self._keep()

    def on_message_box_submitted(self) -> None:
        self._keep()

    def _keep(self) -> None:
        if self.problem() is None and self.is_current:
            self.dismiss(self.said)
