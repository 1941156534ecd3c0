"""What is shown while the terminal is too small for a screen: four lines that still say how the run is."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding

from heretic_tui.tui.messages import ScreenShown
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.message_line import MessageLine
from heretic_tui.tui.widgets.now_line import best_words, now_words
from heretic_tui.tui.widgets.painted_line import PaintedLine, joined
from heretic_tui.tui.widgets.top_line import run_words


class TinyScreen(Dialog[None]):
    """State, progress, best trial and last message. Keys that need no screen work."""

    SCOPE = "tiny"
    HELP_TEXT = "Screens need 60 columns by 16 lines."
    BINDINGS = [
        Binding("p", "app.pause", "Pause", show=False),
        Binding("p", "app.go_on", "Resume", show=False),
        Binding("S", "app.stop", "Stop after trial", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def compose(self) -> ComposeResult:
        for name in ("tiny-state", "tiny-progress", "tiny-best"):
            yield PaintedLine(name)
        yield MessageLine()
        yield PaintedLine("tiny-keys")

    def on_screen_resume(self) -> None:
        # The terminal may have grown while another mode was in view.
        self.ask(ScreenShown())

    def ticked(self) -> None:
        self.paint_lines()

    def paint_lines(self) -> None:
        super().paint_lines()
        view, look, width = self.view, self.looks, self.size.width
        progress = [part for part in now_words(view, look) if part[0] != best_words(view.state)]
        best = best_words(view.state) or "no trial on the front yet"
        lines = {
            "tiny-state": joined(run_words(view, look), width),
            "tiny-progress": joined(progress, width) or Text("nothing runs", look.dim),
            "tiny-best": Text(best, look.good, no_wrap=True, overflow="crop"),
            "tiny-keys": Text(
                f"{'p pause  ' * view.searching}q quit  (60x16 for more)", look.dim, no_wrap=True, overflow="crop"
            ),
        }
        for name, text in lines.items():
            self.query_one(f"#{name}", PaintedLine).put(text)
