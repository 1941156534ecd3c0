"""What a screen asks of the application. A screen never calls it: it posts one of these, and the application acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from textual.message import Message

from heretic_tui.commands import Command, Task
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.schema import Settings

Severity = Literal["information", "warning", "error"]


@dataclass(frozen=True)
class Told:
    """What the user was told, and when (seconds since 1970)."""

    text: str
    severity: Severity
    time: float


@dataclass
class StartRun(Message):
    """Begin or go on with the run of these settings. Where a run is at work here, the user is asked first."""

    settings: Settings


@dataclass
class ShowRun(Message):
    """Show a run folder. A run that is at work here goes on meanwhile."""

    folder: RunFolder


@dataclass
class AttachRun(Message):
    """Control a run that another process works on; where another terminal does, the user is asked first."""

    folder: RunFolder


@dataclass
class QueueRun(Message):
    """Put a run with these settings at the end of the queue."""

    settings: Settings


class WorkQueue(Message):
    """Work the queue off in this process: its runs start one after another."""


@dataclass
class SendCommand(Message):
    """Ask the engine for something; it confirms by events."""

    command: Command


@dataclass
class CancelCommand(Message):
    """Take back what the engine was asked for, or stop it."""

    command: Task


@dataclass
class ChatWith(Message):
    """Show the chat with this trial as the model that answers."""

    trial: int


@dataclass
class TweakFrom(Message):
    """Show the chat with the edit of this trial to be turned by its knobs."""

    trial: int


@dataclass
class ExportTrial(Message):
    """Show the export of this trial."""

    trial: int


@dataclass
class SearchOnTop(Message):
    """Show Setup with what a second round on top of this trial, which was measured in full, begins with."""

    trial: int


@dataclass
class EditText(Message):
    """Open a text in the person's editor, on the whole terminal.

    Attributes:
        name: of the file that the editor sees.
        done: is handed what the person left; not called where that did not work, which is told.
    """

    text: str
    name: str
    done: Callable[[str], None]


@dataclass
class CopyText(Message):
    """Copy a text by every way there is out of a far terminal.

    Attributes:
        what: what it is called when the user is told.
    """

    text: str
    what: str


@dataclass
class Say(Message):
    """Tell the user something in the line of messages."""

    text: str
    severity: Severity = "information"


@dataclass
class HandlerFailed(Message):
    """A handler of a screen failed: it costs what it was to do, and no more."""

    error: Exception


class ScreenShown(Message):
    """A screen came into view: the terminal may have another size than when it was last drawn."""
