"""What a full-screen program has drawn on a terminal, cell by cell, and the shortest way to draw what has changed.

Knows the sequences that Textual sends: places, colours, clearing; what else there is changes no cell. One cell a
character."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = re.compile(
    r"\x1b\[([?<>=]?[\d;:]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_^][^\x1b]*\x1b\\|\x1b[()]?.|([^\x1b])"
)
# A sequence that the next piece may end.
_OPEN = re.compile(r"\x1b(?:\[[?<>=]?[\d;:]*|\][^\x07\x1b]*|[P_^][^\x1b]*)?\Z")

Cell = tuple[str, str]
_BLANK: Cell = (" ", "")


class TerminalGrid:
    """Takes what a program sends; `changes` tells what a viewer must be sent to see the same."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.cells = self._blank()
        self._sent = self._blank()
        self._x = self._y = 0
        self._style = ""
        self._rest = ""

    def _blank(self) -> list[list[Cell]]:
        return [[_BLANK] * self.width for _ in range(self.height)]

    @property
    def text(self) -> str:
        """All that is on the terminal."""
        return "\n".join("".join(character for character, _ in line).rstrip() for line in self.cells)

    def feed(self, data: str) -> None:
        data = self._rest + data
        left = _OPEN.search(data)
        data, self._rest = (data[: left.start()], data[left.start() :]) if left else (data, "")
        for part in _PART.finditer(data):
            numbers, command, character = part.groups()
            if command:
                self._obey(numbers, command)
            elif character == "\r":
                self._x = 0
            elif character == "\n":
                self._y = min(self.height - 1, self._y + 1)
            elif character is not None and character >= " ":
                if self._x < self.width:
                    self.cells[self._y][self._x] = (character, self._style)
                self._x += 1

    def _obey(self, numbers: str, command: str) -> None:
        if command == "H":
            row, _, column = numbers.partition(";")
            self._y = min(self.height, int(row or 1)) - 1
            self._x = min(self.width, int(column or 1)) - 1
        elif command == "m":
            self._style = "" if numbers in ("", "0") else f"{self._style};{numbers}".lstrip(";")
            if (start := f";{self._style}".rfind(";0;")) >= 0:
                # What stood before a reset counts no longer.
                self._style = self._style[start + 2 :]
        elif command == "J":
            self.cells = self._blank()
        elif command == "K":
            self.cells[self._y][self._x :] = [_BLANK] * (self.width - self._x)

    def changes(self) -> str:
        """What must be sent since the last call."""
        pieces: list[str] = []
        style: str | None = None
        for y, x, run in self._runs():
            pieces.append(f"\x1b[{y + 1};{x + 1}H")
            for character, wanted in run:
                if wanted != style:
                    pieces.append(f"\x1b[0{wanted and f';{wanted}'}m")
                    style = wanted
                pieces.append(character)
        self._sent = [list(line) for line in self.cells]
        return "".join(pieces)

    def _runs(self) -> Iterator[tuple[int, int, list[Cell]]]:
        """Cells side by side that differ from what was sent; small gaps are sent along, which is shorter."""
        for y, (new, old) in enumerate(zip(self.cells, self._sent, strict=True)):
            differ = [x for x in range(self.width) if new[x] != old[x]]
            start = 0
            for place, x in enumerate(differ):
                if place + 1 == len(differ) or differ[place + 1] - x > 4:
                    yield y, differ[start], new[differ[start] : x + 1]
                    start = place + 1
