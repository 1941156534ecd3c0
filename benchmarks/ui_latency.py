"""From key press to painted screen, and bytes a second down the link, while the demo search runs at full speed.

python -m benchmarks.ui_latency

The application runs on a pseudo-terminal of 120x40 with 2,000 more trials in its table and its scatter. A key moves the
cursor; the time is taken until the detail of the trial it moved to has been drawn. The aims: p95 under 50 ms, p99 under
100 ms on two cores, and under 7 kB a second while nobody touches a key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pty
import random
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

PRESSES = 200
IDLE_SECONDS = 10.0
CROWD = 2000
FIRST = 100


def _end_with(alive: int) -> None:
    """End this process when the benchmark has ended, however that was: a run goes on where its terminal has gone."""
    os.read(alive, 1)
    os._exit(1)


def child(runs_dir: str, alive: int) -> None:
    """The application with a crowded table, on the terminal that this process has.

    Args:
        alive: the reading end of a pipe that is closed when the benchmark ends.
    """
    from heretic_tui import events as ev
    from heretic_tui.demo.settings import settings_of_the_demo
    from heretic_tui.settings.form import SettingsForm
    from heretic_tui.terminal import Streams
    from heretic_tui.tui import host
    from heretic_tui.tui.launch import open_screen
    from tests.support import fake_run

    class Crowded(host.ThreadHost):
        """The demo's engine, and many trials that are none of its own."""

        crowded = False

        def take(self) -> list[ev.Event]:
            # The engine's own trials come behind the crowd, as new trials do.
            events = [
                dataclasses.replace(event, number=event.number + CROWD)
                if isinstance(event, ev.TrialStarted | ev.TrialFinished | ev.Measured) and event.number is not None
                else event
                for event in super().take()
            ]
            if not self.crowded and any(isinstance(event, ev.TrialStarted) for event in events):
                self.crowded = True
                crowd = (event for number in range(CROWD) for event in fake_run.trial(number, 10))
                events = [event for event in crowd if not isinstance(event, ev.Measured)] + events
            return events

    import heretic_tui.tui.launch as launch

    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    launch.ThreadHost = Crowded  # type: ignore[attr-defined]
    flags = {"runs_dir": runs_dir, "seed": 0, "n_trials": 100_000, "n_startup_trials": 100_000}
    sys.exit(open_screen(Streams(), SettingsForm(flags, base=settings_of_the_demo()), start=True))


class Screen:
    """The application in a process of its own, and what it draws."""

    def __init__(self, runs_dir: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        alive, self._alive = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ui_latency", "--child", runs_dir, str(alive)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
            pass_fds=[alive],
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        os.close(alive)
        self.drawn = b""

    def read(self, seconds: float) -> int:
        """Read what is drawn within some seconds; the number of bytes."""
        count, end = 0, time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.master], [], [], left)[0]:
                data = os.read(self.master, 1 << 16)
                self.drawn += data
                count += len(data)
        return count

    def until(self, wanted: bytes, patience: float = 120.0) -> float:
        """Seconds until something is drawn."""
        start = time.perf_counter()
        while wanted not in self.drawn:
            left = patience - (time.perf_counter() - start)
            if left <= 0:
                raise SystemExit(f"{wanted!r} was not drawn; last: {self.drawn[-500:]!r}")
            if select.select([self.master], [], [], left)[0]:
                self.drawn += os.read(self.master, 1 << 16)
        return time.perf_counter() - start

    def press(self, key: str) -> None:
        self.drawn = b""
        os.write(self.master, key.encode())

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--child":
        child(sys.argv[2], int(sys.argv[3]))
    with tempfile.TemporaryDirectory() as runs_dir:
        screen = Screen(runs_dir)
        try:
            # The second line says which trial is best as soon as the crowd is there.
            screen.until(b"fewest ")
            screen.read(3.0)
            times = []
            rng = random.Random(0)
            screen.press("#")
            screen.until(b"Go to trial")
            screen.press(f"{FIRST}\r")
            screen.until(f"Trial {FIRST}".encode())
            place = FIRST
            for _ in range(PRESSES):
                screen.read(rng.uniform(0.02, 0.2))
                place += 1
                screen.press("j")
                times.append(screen.until(f"Trial {place}".encode()) * 1000)
            screen.read(1.0)
            idle = screen.read(IDLE_SECONDS) / IDLE_SECONDS / 1000
        finally:
            screen.end()
    cuts = statistics.quantiles(times, n=100)
    print(f"key to screen, {PRESSES} presses: p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, p99 {cuts[98]:.0f} ms")
    print(f"down the link while nobody touches a key: {idle:.1f} kB a second")


if __name__ == "__main__":
    main()
