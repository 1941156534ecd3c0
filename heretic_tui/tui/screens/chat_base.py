"""What the parts of the chat screen share: who answers, how, and where what they show is."""

from __future__ import annotations

from heretic_tui.commands import Sampling
from heretic_tui.run.trial_record import KNOWN_STATES
from heretic_tui.tui.conversation import ORIGINAL, Conversations, Who
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.chat_options import MEASURED, ChatSettings
from heretic_tui.tui.screens.chat_text import Drawing
from heretic_tui.tui.widgets.chat_columns import ChatColumns
from heretic_tui.tui.widgets.message_box import MessageBox

# Columns of a terminal from which on a conversation begins with two models side by side.
ROOM_FOR_TWO = 180


class ChatBase(ModeScreen):
    """Columns, the message, and the settings of the chat."""

    PANES = ("chat-0", "chat-1", "chat-2", "samples-pane", "pinned-pane", "knobs-pane")

    def __init__(self) -> None:
        super().__init__()
        self._settings: ChatSettings | None = None
        # What alt+t turns on: as it was last set.
        self.sampled = Sampling(temperature=0.7, top_p=0.95, max_tokens=MEASURED.max_tokens)

    @property
    def columns_view(self) -> ChatColumns:
        return self.query_one(ChatColumns)

    @property
    def box(self) -> MessageBox:
        return self.query_one("#chat-input", MessageBox)

    @property
    def drawing(self) -> Drawing:
        return Drawing(self.looks, self.view.glyphs, self.view.timed, self.view.state.behaviour)

    @property
    def talk(self) -> Conversations:
        return self.view.conversations

    @property
    def knobs_open(self) -> bool:
        """Whether the knobs of an edit are shown."""
        return self.has_class("-knobs")

    # Who answers, and how

    @property
    def columns(self) -> list[Who]:
        """Who answers: those that the user chose, or whatever is selected on the trials screen. Where there is room the
        original model is beside a trial, and the trial with the fewest refusals beside the original model."""
        if self.talk.chosen is not None:
            return self.talk.chosen
        trial = self.view.trial
        room = self.app.size.width >= ROOM_FOR_TWO
        if trial and trial.state in KNOWN_STATES:
            return [Who(trial.number), ORIGINAL] if room else [Who(trial.number)]
        fewest = self.view.state.fewest()
        return [ORIGINAL, Who(fewest.number)] if room and fewest else [ORIGINAL]

    @property
    def active(self) -> Who:
        """The model of the active column."""
        columns = self.columns
        return columns[min(self.talk.active, len(columns) - 1)]

    @property
    def settings(self) -> ChatSettings:
        return self._settings or ChatSettings(self.run_prompt)

    @settings.setter
    def settings(self, settings: ChatSettings | None) -> None:
        self._settings = settings

    @property
    def run_prompt(self) -> str:
        """The system prompt with which the run's trials are measured."""
        opened = self.view.state.opened
        return str(opened.settings.get("system_prompt", "")) if opened else ""

    def has_pane(self, pane: str) -> bool:
        """Whether a pane has anything to show."""
        raise NotImplementedError

    def paint_chat(self) -> None:
        """Paint all of the screen that may have changed."""
        raise NotImplementedError
