"""What Setup shows of a prompt, as the model will see it, and of the matrices that are edited."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.settings.schema import Settings
from heretic_tui.tui.glyphs import ASCII, Glyphs, safe_lines, to_ascii
from heretic_tui.tui.outlook import Outlook
from heretic_tui.tui.plan_looks import PromptView
from heretic_tui.tui.themes import Looks
from heretic_tui.words import counted, plain


def prompt_words(found: PromptView | None, settings: Settings, name: str, longest: int | None, look: Looks) -> Text:
    """One prompt as the model will see it, and its length."""
    if found is None:
        dataset = getattr(settings, name).dataset
        return Text(
            f"{plain(dataset)} is a data set on the Hub: it is read when the run starts. Press w to read it now.",
            look.dim,
        )
    text = safe_lines(found.text)
    text.append("\n\n")
    if found.tokens is not None:
        most = f" (longest {longest:,})" if longest else ""
        text.append(f"{counted(found.tokens, 'token')}{most}", look.dim)
    if found.note:
        text.append(f"Without the chat template: {plain(found.note)}", look.busy)
    return text


def edits_words(outlook: Outlook, glyphs: Glyphs, look: Looks) -> Text:
    """The matrices that are edited."""
    found = outlook.model
    if found is None:
        words = "The model is being looked at." if outlook.facts else "Known when the model is on this disk."
        return Text(words, look.dim)
    if found.problem:
        return Text(plain(found.problem), look.bad)
    text = Text()
    for row in found.rows:
        # Columns are for a terminal's width; a pane is narrower.
        line = plain(" ".join(row.split()))
        text.append((to_ascii(line) if glyphs is ASCII else line) + "\n", look.ink)
    return text
