"""A text in the person's own editor, on the terminal that the screen has left for as long."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from textual.app import App, SuspendNotSupported

from heretic_tui.errors import HereticError, one_line
from heretic_tui.words import quoted

_USUAL = ("nano", "vi")
# A card is a few pages.
_LONGEST = 1 << 20


def editor_command() -> list[str]:
    """The words of the command: $VISUAL, $EDITOR, or what is usually there.

    Raises:
        HereticError: where none of them is there.
    """
    for name in ("VISUAL", "EDITOR"):
        if words := os.environ.get(name, "").strip():
            try:
                command = shlex.split(words)
            except ValueError as error:
                raise HereticError(f"${name} is no command: {error}") from error
            if shutil.which(command[0]) is None:
                raise HereticError(f"${name} names {quoted(command[0])}, which is not there: set it to your editor")
            return command
    for usual in _USUAL:
        if found := shutil.which(usual):
            return [found]
    raise HereticError("no editor is there: set EDITOR to yours")


def edited(text: str, name: str) -> str:
    """The text as the person left it. The terminal must be free: nothing else may read from it or draw on it.

    Args:
        name: of the file that the editor sees.

    Raises:
        HereticError: when there is no editor, or it fails, or what it leaves cannot be read, or is empty.
    """
    command = editor_command()
    with tempfile.TemporaryDirectory(prefix="heretic-tui-") as folder:
        path = Path(folder) / name
        try:
            path.write_text(text, encoding="utf-8")
            with _unheard_interrupts():
                # Descriptors 1 and 2 lead to a log; this is the terminal.
                screen = sys.__stdout__
                status = subprocess.run([*command, str(path)], stdout=screen, stderr=screen, check=False).returncode
            if status:
                raise HereticError(f"{quoted(command[0])} ended with status {status}: your text is as it was")
            if path.stat().st_size > _LONGEST:
                raise HereticError("the editor left more than 1 MB: your text is as it was")
            found = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HereticError(f"editing did not work ({one_line(error)}): your text is as it was") from error
    if not found.strip():
        raise HereticError("the editor left nothing: your text is as it was")
    return found


@contextlib.contextmanager
def _unheard_interrupts() -> Iterator[None]:
    """Within the block ctrl-c is the editor's alone: it is sent to all processes of the terminal, and would stop the
    run. (A handler, for what is ignored would be ignored by the editor too.)"""

    def unheard(number: int, frame: FrameType | None) -> None:
        pass

    before = signal.signal(signal.SIGINT, unheard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def edit_on_terminal(app: App[str], text: str, name: str) -> str:
    """The same while an application leaves the terminal to the editor.

    Raises:
        HereticError: as `edited`; and where the application cannot leave its terminal.
    """
    # While the screen is left nothing may be raised: it would not be drawn again.
    found: str | HereticError = HereticError("this terminal cannot be left to an editor")
    try:
        editor_command()
        with app.suspend():
            try:
                found = edited(text, name)
            except HereticError as error:
                found = error
    except SuspendNotSupported:
        pass
    if isinstance(found, HereticError):
        raise found
    return found
