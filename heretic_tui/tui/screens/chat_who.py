"""The part of the chat screen that says who answers: up to three columns, one of them active."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding

from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.trial_record import KNOWN_STATES
from heretic_tui.tui.conversation import MOST_COLUMNS, ORIGINAL, Who
from heretic_tui.tui.questions import Question
from heretic_tui.tui.screens.chat_base import ChatBase
from heretic_tui.tui.screens.chat_text import LETTERS
from heretic_tui.tui.screens.dialogs import ChoiceDialog


class ChatWho(ChatBase):
    """ctrl+t, ctrl+g, and the keys of the active column."""

    SCOPE = "chat"
    BINDINGS = [
        Binding("ctrl+t", "model", "Who", tooltip="who answers in this column: the original model or a trial"),
        Binding("ctrl+g", "columns", "Columns", tooltip="one, two or three models side by side"),
        Binding(
            "left,h",
            "activate(-1)",
            "Column",
            key_display="h l",
            show=False,
            id="chat.column-left",
            tooltip="the column to the left",
        ),
        Binding("right,l", "activate(1)", "Column right", show=False, tooltip="the column to the right"),
        Binding(
            "left_square_bracket",
            "swap(-1)",
            "Move",
            key_display="[ ]",
            show=False,
            id="chat.move-left",
            tooltip="move the active column left",
        ),
        Binding("right_square_bracket", "swap(1)", "Move right", show=False, tooltip="move the active column right"),
    ]

    def action_activate(self, by: int) -> None:
        self.talk.active = (min(self.talk.active, len(self.columns) - 1) + by) % len(self.columns)
        self._show_active()

    def action_swap(self, by: int) -> None:
        self.talk.swap(self.columns, by)
        self._show_active()

    def _show_active(self) -> None:
        if self.has_class("-narrow"):
            self.show_pane(f"chat-{self.talk.active}")
            self.set_focus(None)
        self.paint_chat()

    def action_model(self) -> None:
        state = self.view.state
        complete = state.front()[:9]
        answers = [("b", "base", "the original model")]
        answers += [
            (str(place), str(t.number), f"trial {t.number}: {figures_sentence(t, state.figures[:2])}")
            for place, t in enumerate(complete, start=1)
        ]
        selected = self.view.trial
        if selected and selected.state in KNOWN_STATES and selected not in complete:
            answers.append(("s", str(selected.number), f"trial {selected.number}, selected on the trials screen"))

        def answered(answer: str | None) -> None:
            if answer is not None:
                self.talk.put(self.columns, Who(None if answer == "base" else int(answer)))
                self.paint_chat()

        column = f" in column {LETTERS[self.talk.active]}" if len(self.columns) > 1 else ""
        question = Question(f"Who answers{column}?", "Trials on the front, and the one selected.", tuple(answers))
        self.app.push_screen(ChoiceDialog(question), answered)

    def action_columns(self) -> None:
        """One column more, or after the last only the active one."""
        columns = list(self.columns)
        if len(columns) == MOST_COLUMNS:
            self.talk.chosen, self.talk.active = [self.active], 0
        elif ORIGINAL not in columns:
            self.talk.chosen, self.talk.active = [ORIGINAL, *columns], self.talk.active + 1
        elif (other := self._another(columns)) is not None:
            self.talk.chosen, self.talk.active = [*columns, other], len(columns)
        elif len(columns) > 1:
            self.talk.chosen, self.talk.active = [self.active], 0
        else:
            self.say("There is no complete trial to put beside the original model yet.")
        if not self.has_pane(self.pane):
            self.show_pane("chat-0")
            self.box.focus()
        self.paint_chat()

    def _another(self, columns: Sequence[Who]) -> Who | None:
        """A model for a further column: the turned edit, the selected trial, one that is marked, one on the front."""
        state, view = self.view.state, self.view
        wanted = [Who(view.tweak.trial, tweaked=True)] if view.tweak and self.knobs_open else []
        if view.trial and view.trial.state in KNOWN_STATES:
            wanted.append(Who(view.trial.number))
        wanted += [Who(number) for number in state.trials if view.annotations.marked(number)]
        wanted += [Who(trial.number) for trial in state.front()]
        return next((who for who in wanted if who not in columns), None)
