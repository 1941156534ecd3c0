"""The end of the socket where the engine is: a thread that hands requests to the control, and events to whoever is
attached. The engine never waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator

from heretic_tui import __version__
from heretic_tui.commands import Chat, Samples, Task, Try
from heretic_tui.control import Control
from heretic_tui.events import Event
from heretic_tui.run.attach import place
from heretic_tui.run.attach.connected import Client, LetGo
from heretic_tui.run.attach.protocol import (
    PROTOCOL,
    Ask,
    BadLine,
    Cancel,
    Goodbye,
    Greeting,
    Hello,
    Link,
    Refused,
    Request,
    Said,
    Send,
    Standing,
    TakeControl,
    Told,
    decode_command,
)
from heretic_tui.run.folder import RunFolder
from heretic_tui.words import plain

# Seconds between two looks at what there is to tell, while anybody is attached.
_PACE = 0.05
# Seconds until a connection has to have said who it is, and seconds that the last words may take.
_PATIENCE, _LAST_WORDS = 10.0, 0.5
_MOST_CLIENTS = 32
# Bytes that wait for a terminal: of what comes often it gets the latest alone, and it is let go.
_SLOW, _STALLED = 1 << 16, 1 << 21
# Seconds that a session waits for a terminal that went away without a word: links drop, and people come back.
_AWAY = 600.0

log = logging.getLogger(__name__)


class AttachServer:
    """Serves one run, from `start` to `close`.

    Args:
        control: of the session; what attached terminals ask for is asked of it.
        records: how many events the journal holds.
        uid: whose processes may connect.
        away: seconds that the session waits for a terminal that had control and went away without a word.
        on_change: called on the server's thread with words for people, when control passes on.

    Attributes:
        screen: what people know the screen of this very process by, which has control where no other terminal has;
            None where it has none, or its screen was left.
    """

    def __init__(
        self,
        folder: RunFolder,
        control: Control,
        records: Callable[[], int],
        uid: int | None = None,
        on_change: Callable[[str], None] = lambda text: None,
        away: float = _AWAY,
    ) -> None:
        self._folder = folder
        self._control = control
        self._records = records
        self._uid = os.geteuid() if uid is None else uid
        self._on_change = on_change
        self._away = away
        # Until when it waits for it.
        self._wait_until: float | None = None
        self.screen: str | None = None
        self._listening: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._clients: list[Client] = []
        self._controller: Client | None = None
        self._lock = threading.Lock()
        self._events: list[tuple[int, Event]] = []
        self._heard = False
        self._ending = self._taken_back = False
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name="attach", daemon=True)

    def start(self) -> None:
        """
        Raises:
            OSError: where the run folder can hold no socket.
        """
        self._listening = place.listen(self._folder.socket)
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._awake, selectors.EVENT_READ, lambda: self._awake.recv(64))
        self._thread.start()

    def hear(self, event: Event) -> None:
        """A listener of the session: what the journal does not hold, or not every time, is passed on."""
        if not self._heard or (event.kept and not event.high_rate):
            return
        told = (self._records(), event)
        with self._lock:
            last = self._events[-1] if self._events else None
            if event.high_rate and last and type(last[1]) is type(event):
                self._events[-1] = told
            else:
                self._events.append(told)

    @property
    def controller(self) -> str | None:
        """The other terminal that controls the run at this moment; None where none does."""
        controller = self._controller
        return controller.name if controller and not self._taken_back else None

    def take_back(self) -> None:
        """The screen of this process controls the run again."""
        if self._controller:
            self._taken_back = True
            self._wake.send(b"t")

    def close(self) -> None:
        """End all connections, and take the socket away."""
        self._ending = True
        self._wake.send(b"e")
        if self._thread.is_alive():
            self._thread.join()
        for each in (self._awake, self._wake, self._selector):
            each.close()

    # The thread

    def _serve(self) -> None:
        try:
            while not self._ending:
                for key, _ in self._selector.select(self._pace):
                    key.data()
                self._pass_on()
        except Exception:
            # Nobody can attach any more; the run itself goes on.
            log.exception("the run can no longer be attached to")
        finally:
            self._end()

    @property
    def _pace(self) -> float | None:
        if self._clients:
            return _PACE
        return None if self._wait_until is None else max(0.0, self._wait_until - time.monotonic())

    def _accept(self) -> None:
        assert self._listening is not None
        try:
            connected, _ = self._listening.accept()
        except OSError:
            return
        connected.setblocking(False)
        client = Client(Link(connected), 0)
        try:
            client.pid, uid = place.peer(connected)
        except OSError:
            uid = -1
        if uid != self._uid:
            self._let_go(client, "this run is another user's")
        elif len(self._clients) >= _MOST_CLIENTS:
            self._let_go(client, f"{_MOST_CLIENTS} terminals are attached to this run: leave one of them first")
        else:
            self._clients.append(client)
            self._selector.register(connected, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: Client) -> None:
        try:
            for said in client.link.receive():
                self._obey(client, said)
        except (BadLine, LetGo) as error:
            self._let_go(client, str(error))
        except Exception as error:
            # A mistake of ours costs this connection, and no run.
            log.exception("a request from another terminal failed")
            self._let_go(client, f"the request failed ({type(error).__name__}); the run's log has more")
        if client.link.ended:
            self._let_go(client)

    def _obey(self, client: Client, said: Said) -> None:
        client.count_request()
        if isinstance(said, Hello) and not client.greeted:
            if said.protocol != PROTOCOL:
                raise LetGo(
                    f"the run was started by heretic-tui {__version__}, which cannot be controlled by version "
                    f"{plain(said.version)[:20]}"
                )
            client.terminal, client.greeted = plain(said.terminal)[:40] or "a terminal", True
            client.link.send(Greeting(PROTOCOL, __version__, os.getpid(), client.base))
            return
        if not client.greeted or not isinstance(said, Request):
            raise LetGo(f"{type(said).__name__} was not expected here")
        client.seen = said.number
        if isinstance(said, TakeControl):
            self._give_control(client, said.over)
        elif client is not self._controller or self._taken_back:
            client.link.send(Refused("This terminal has no control of the run: it was taken over."))
        elif isinstance(said, Ask):
            self._ask(client, said.what)
        elif isinstance(said, Cancel):
            if command := client.commands.get(said.key):
                self._control.cancel(command)
        else:
            self._send(client, said)

    def _ask(self, client: Client, what: str) -> None:
        control = self._control
        if what == "close":
            client.closing = True
            if self.screen is None:
                # Whoever leaves a run to itself leaves it going on.
                control.resume()
            self._attend()
        else:
            {
                "pause": control.pause,
                "resume": control.resume,
                "stop": control.stop_after_trial,
                "abort": control.abort,
            }[what]()

    def _send(self, client: Client, said: Send) -> None:
        try:
            command = decode_command(said.name, said.command, client.base)
        except BadLine as error:
            client.link.send(Refused(str(error)))
            return
        if isinstance(command, Task):
            client.keep(said.key, command)
        self._control.send(command)

    # Who controls the run

    def _give_control(self, client: Client, over: bool) -> None:
        holder = self._controller.name if self._controller else self.screen
        if client is self._controller or (holder and not over):
            return
        self._controller, client.closing = client, False
        self._wait_until = None
        self._on_change(f"{client.name} controls the run now")
        self._attend()

    def _take_control_away(self) -> None:
        if left := self._controller:
            self._controller = None
            self._on_change(f"{left.name} no longer controls the run")
            self._attend()

    def _attend(self) -> None:
        """Let the session know whether it has to wait for a terminal."""
        controlled = self._controller is not None and not self._controller.closing
        self._control.attended = controlled or self._wait_until is not None
        self._control.wake()

    # What is told

    def _pass_on(self) -> None:
        if self._taken_back:
            self._take_control_away()
            self._taken_back = False
        if self._wait_until is not None and time.monotonic() >= self._wait_until:
            self._wait_until = None
            self._attend()
        with self._lock:
            events, self._events = self._events, []
        self._heard = any(client.greeted for client in self._clients)
        for after, event in events:
            self._tell(after, event)
        now = time.monotonic()
        for client in list(self._clients):
            if client.greeted:
                self._tell_standing(client)
            elif now - client.since > _PATIENCE:
                self._let_go(client, "nothing was said")
            client.link.flush()
            if len(client.link.waiting) <= _SLOW:
                client.catch_up()
            if client.link.ended:
                self._let_go(client)
            elif len(client.link.waiting) > _STALLED:
                self._let_go(client, "this terminal did not read what it was told")

    def _tell(self, after: int, event: Event) -> None:
        told = Told(after, event.to_json())
        number = getattr(event, "id", None)
        for client in self._clients:
            # An answer is for whoever asked.
            if not client.greeted or (number is not None and not client.asked(number)):
                continue
            if event.high_rate and len(client.link.waiting) > _SLOW:
                client.held[event.type] = told
            else:
                client.catch_up()
                client.link.send(told)

    def _tell_standing(self, client: Client) -> None:
        control, yours = self._control, client is self._controller
        standing = Standing(
            controller=self._controller.name if self._controller else self.screen,
            yours=yours,
            screen=self.screen is not None,
            requested=control.requested,
            paused=control.paused,
            in_trial=control.in_trial,
            ready=control.ready,
            busy=control.busy,
            seen=client.seen,
        )
        if standing != client.told:
            client.told = standing
            client.link.send(standing)

    # The end

    def _let_go(self, client: Client, why: str = "") -> None:
        if why and not client.link.ended:
            log.info("%s is let go: %s", client.name, why)
            client.link.send(Goodbye(why))
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.link.socket)
        client.link.close()
        for command in client.commands.values():
            # Nobody would read the answer.
            if isinstance(command, Chat | Samples | Try):
                self._control.cancel(command)
        if client is self._controller:
            # A screen of this process waits by itself.
            if not client.closing and self.screen is None:
                self._wait_until = time.monotonic() + self._away
            self._take_control_away()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._pass_on()
        end = time.monotonic() + _LAST_WORDS
        for client in list(self._clients):
            client.link.send(Goodbye(""))
            while client.link.waiting and not client.link.ended and time.monotonic() < end:
                with selectors.DefaultSelector() as writable:
                    writable.register(client.link.socket, selectors.EVENT_WRITE)
                    writable.select(_PACE)
                client.link.flush()
            self._let_go(client)
        if self._listening:
            self._listening.close()
            # Before the run's lock is released: whoever takes it next makes a socket of the same name.
            with contextlib.suppress(OSError):
                self._folder.socket.unlink()


@contextlib.contextmanager
def attachable(server: AttachServer, say: Callable[[str], None]) -> Iterator[None]:
    """Within the block other terminals can attach to the run. Where they cannot the run goes on, and `say` is called
    with the reason."""
    try:
        server.start()
    except OSError as error:
        say(f"other terminals can only watch this run: its folder holds no socket ({error.strerror or error})")
    try:
        yield
    finally:
        server.close()
