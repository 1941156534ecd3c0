"""The end of the socket at another terminal: the run's events in their order, and a control that asks over the
socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from heretic_tui import __version__
from heretic_tui import events as ev
from heretic_tui.commands import Command, Task
from heretic_tui.event_records import read_event
from heretic_tui.run.attach import place
from heretic_tui.run.attach.protocol import (
    LONGEST,
    PROTOCOL,
    Ask,
    BadLine,
    Cancel,
    Goodbye,
    Greeting,
    Hello,
    Link,
    Refused,
    Said,
    Send,
    Standing,
    TakeControl,
    Told,
    encode,
    encode_command,
)
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Tail

# Pieces that are read at one look.
_PIECES = 64


@dataclass(frozen=True)
class ControlNews:
    """What a terminal is told about who controls the run.

    Attributes:
        kind: held (another terminal has control, and would have to be asked), gained, lost (another one has taken it),
            free (nobody has it), refused (a request was), ended (the connection is gone).
        text: for people; of `held` and `lost` who has control.
    """

    kind: Literal["held", "gained", "lost", "free", "refused", "ended"]
    text: str


class Attachment:
    """A terminal that is attached to a run which another process works on. Nothing here ever waits.

    Raises:
        UsageError: when the run cannot be attached to.

    Attributes:
        control: asks for what is asked; it means something while `yours` is true.
        standing: the latest that was told; None before the first.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._tail = Tail(folder.events)
        self._link: Link | None = None
        self._base = 0
        # Of the next request.
        self._number = 1
        # Events of the socket, with how many records of the journal come before each.
        self._waiting: deque[tuple[int, ev.Event]] = deque()
        self._news: list[ControlNews] = []
        self._asked: int | None = None
        self.standing: Standing | None = None
        self.control = RemoteControl(self)
        self._connect()

    @property
    def yours(self) -> bool:
        """Whether this terminal controls the run."""
        return self._link is not None and self.standing is not None and self.standing.yours

    @property
    def controller(self) -> str | None:
        """The other terminal that controls the run; None where none is known."""
        return self.standing.controller if self._link and self.standing and not self.standing.yours else None

    @property
    def ends_alone(self) -> bool:
        """Whether the run's process ends as soon as this terminal leaves: its search is over, and nobody else waits."""
        standing = self.standing
        return self.yours and standing is not None and standing.ready and not standing.screen

    def take_control(self, over: bool) -> None:
        """Ask for control; `take_news` tells what became of it.

        Args:
            over: also where another terminal has it.

        Raises:
            UsageError: when the connection was lost, and the run cannot be attached to.
        """
        if self._link is None:
            # The process may be there all the same: it lets terminals go that do not read.
            self._connect()
        self._asked = self._number
        self.say(TakeControl(self._next(), over))

    def take(self) -> list[ev.Event]:
        """The events that came since the last call, in the order in which they were told. Those of the journal of
        before the first call are marked as past."""
        if self._link:
            self._receive(self._link)
        # After the socket: what the journal held when a thing was told over it is there by now.
        before = self._tail.records
        recorded = self._tail.take_numbered()
        events = list(self._late(before))
        for number, event in recorded:
            events += self._due(number)
            events.append(self._own(event))
        return [*events, *self._due(self._tail.records)]

    def take_news(self) -> list[ControlNews]:
        """What is to be told about who controls the run."""
        news, self._news = self._news, []
        return news

    def leave(self) -> None:
        """End the connection; the run goes on as it would without it."""
        if self._link:
            self._link.flush()
            self._link.close()
        self._link = None

    # For the control

    def say(self, said: Said) -> bool:
        """Send it, or keep it until it can be sent. Returns whether there is a connection."""
        if self._link is None:
            return False
        self._link.send(said)
        return not self._link.ended

    def ask(self, what: Literal["pause", "resume", "stop", "abort", "close"]) -> bool:
        return self.say(Ask(self._next(), what))

    def send(self, key: int, command: Command) -> None:
        name, fields = encode_command(command, self._base)
        said = Send(self._next(), key, name, fields)
        if len(encode(said)) > LONGEST:
            self._news.append(ControlNews("refused", f"This is longer than what can be sent ({LONGEST >> 20} MB)."))
        elif not self.say(said):
            self._news.append(ControlNews("refused", "Not sent: there is no connection to the run's process."))

    def cancel(self, key: int) -> None:
        self.say(Cancel(self._next(), key))

    @property
    def asked(self) -> int:
        """The number of the latest request."""
        return self._number - 1

    def _connect(self) -> None:
        self._link = Link(place.connect(self._folder))
        self._base, self._number, self.standing = 0, 1, None
        self.control.forget()
        self._link.send(Hello(PROTOCOL, __version__, place.terminal_name()))

    def _next(self) -> int:
        self._number += 1
        return self._number - 1

    # What came

    def _receive(self, link: Link) -> None:
        link.flush()
        try:
            for said in link.receive(_PIECES):
                self._hear(said)
        except BadLine as error:
            self._lose(f"The run's process said what cannot be read ({error}).")
        if link.ended:
            self._lose("The run's process closed the connection.")

    def _hear(self, said: Said) -> None:
        match said:
            case Greeting():
                self._base = said.base
            case Standing():
                self._stand(said)
            case Told():
                try:
                    event = read_event(said.event)
                except ValueError as error:
                    raise BadLine(str(error)) from error
                if event:
                    self._waiting.append((said.after, self._own(event)))
            case Refused():
                self._news.append(ControlNews("refused", said.text))
            case Goodbye():
                self._lose(f"The connection was ended: {said.text}." if said.text else "The run's process has ended.")

    def _stand(self, now: Standing) -> None:
        before, self.standing = self.standing, now
        if self._asked is not None and now.seen >= self._asked and not now.yours and now.controller:
            self._news.append(ControlNews("held", now.controller))
            self._asked = None
        elif now.yours and not (before and before.yours):
            self._news.append(ControlNews("gained", "This terminal controls the run."))
            self._asked = None
        elif before and before.yours and not now.yours:
            self._news.append(ControlNews("lost", now.controller or ""))
        elif before and before.controller and not now.controller:
            self._news.append(ControlNews("free", f"{before.controller} no longer controls the run."))

    def _lose(self, why: str) -> None:
        if self._link is None:
            return
        self._link.close()
        self._link = None
        self._news.append(ControlNews("ended", why))

    # The order of what comes by both ways

    def _late(self, known: int) -> Iterator[ev.Event]:
        """Of what should have come before the last events: all but what the journal has overtaken."""
        while self._waiting and self._waiting[0][0] < known:
            _, event = self._waiting.popleft()
            if not (event.high_rate and event.kept):
                yield event

    def _due(self, records: int) -> Iterator[ev.Event]:
        while self._waiting and self._waiting[0][0] <= records:
            yield self._waiting.popleft()[1]

    def _own(self, event: ev.Event) -> ev.Event:
        """An event with the number that this terminal gave what it answers; what answers others has a number that it
        does not give."""
        number = getattr(event, "id", None)
        if number is None:
            return event
        own = number - self._base if self._base and not event.past else -1 - number
        changed: dict[str, Any] = {"id": own}
        return replace(event, **changed)


class RemoteControl:
    """Asks over the socket, as `control.Control` does in one process. What it says of the engine is what was told last,
    with what was asked for since."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._keys: dict[Task, int] = {}
        self._next_key = 0
        # What was asked for since the engine's process said what it knows of, and the number of that request.
        self._wanted: tuple[int, str] | None = None

    def forget(self) -> None:
        """Another connection begins."""
        self._keys.clear()
        self._wanted = None

    @property
    def requested(self) -> str:
        standing = self._attachment.standing
        if self._wanted and standing and standing.seen < self._wanted[0]:
            return self._wanted[1]
        return standing.requested if standing else "running"

    @property
    def paused(self) -> bool:
        standing = self._attachment.standing
        if self._wanted and standing and standing.seen < self._wanted[0]:
            return self._wanted[1] == "pausing"
        return standing is not None and standing.paused

    @property
    def in_trial(self) -> bool:
        standing = self._attachment.standing
        return standing is not None and standing.in_trial

    def pause(self) -> bool:
        return self._searching and self._ask("pause", "pausing")

    def resume(self) -> None:
        self._ask("resume", "running")

    def stop_after_trial(self) -> bool:
        return self._searching and self._ask("stop", "stopping")

    def abort(self) -> bool:
        standing = self._attachment.standing
        return (self._searching or (standing is not None and standing.busy)) and self._ask("abort", "aborting")

    def send(self, command: Command) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        if isinstance(command, Task):
            self._keys[command] = key
        self._attachment.send(key, command)

    def cancel(self, command: Task) -> None:
        if command in self._keys:
            self._attachment.cancel(self._keys[command])

    def close(self) -> None:
        self._attachment.ask("close")

    @property
    def _searching(self) -> bool:
        standing = self._attachment.standing
        return standing is not None and not standing.ready

    def _ask(self, what: Literal["pause", "resume", "stop", "abort"], wanted: str) -> bool:
        asked = self._attachment.ask(what)
        self._wanted = (self._attachment.asked, wanted)
        return asked
