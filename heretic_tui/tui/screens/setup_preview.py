"""The pane of Setup in which a prompt stands as the model will see it."""

from __future__ import annotations

import time

from rich.text import Text

from heretic_tui.errors import HereticError
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.titles import title_of
from heretic_tui.tui.outlook import Outlook
from heretic_tui.tui.preview import SETS, Looker
from heretic_tui.tui.screens.setup_words import prompt_words
from heretic_tui.tui.themes import looks
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain

# Seconds until the user has stopped walking through settings or prompts; before that nothing is looked for.
PAUSE = 0.2


class PromptPane(Frame):
    """Shows one prompt of one set, read on a thread.

    Attributes:
        set_name: the set, by the name of its setting.
    """

    def __init__(self, looker: Looker) -> None:
        self._panel = TextPanel(id="preview")
        super().__init__("Preview", self._panel, keys=("next_prompt", "whole_prompt"), id="preview-pane")
        self._looker = looker
        self.set_name, self._number = SETS[1], 0
        self._wanted: object = None

    def on_mount(self) -> None:
        self._panel.show(Text("The prompt and the chat template are being read.", looks(self).dim))

    @property
    def text(self) -> Text:
        """What it shows."""
        return self._panel.text

    def choose(self, name: str) -> bool:
        """Show the first prompt of a set from now on, where that is another set. Returns whether it is."""
        other = name != self.set_name
        if other:
            self.set_name, self._number = name, 0
        return other

    def step(self, by: int) -> None:
        """Another prompt from now on."""
        self._number += by

    def look(self, settings: Settings, outlook: Outlook) -> None:
        """Read the prompt, and show it when that is done."""
        name, number, look = self.set_name, self._number, looks(self)
        wanted = self._wanted = (name, number, settings)
        longest = outlook.longest.get(name)

        def run() -> None:
            time.sleep(PAUSE)
            if self._wanted is not wanted or not self.is_attached:
                return
            title = title_of(name)
            try:
                found = self._looker.prompt(settings, name, number)
                words = prompt_words(found, settings, name, longest, look)
                title += f"  ({found.number + 1:,} of {found.count:,})" if found else ""
            except HereticError as error:
                words = Text(plain(str(error)), look.bad)
            self.app.call_from_thread(show, words, f"Preview: {title}")

        def show(words: Text, title: str) -> None:
            if self._wanted is wanted and self.is_attached:
                self._panel.show(words)
                self.retitle(title)

        on_thread(self, run, "prompt", exclusive=False)
