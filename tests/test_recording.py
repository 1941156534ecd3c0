"""The recording: what a viewer is sent shows what the program drew."""

from __future__ import annotations

from tools.terminal_grid import TerminalGrid


def test_what_is_sent_shows_what_was_drawn_and_is_cut_anywhere() -> None:
    drawn = (
        "\x1b[?1049h\x1b[?25l\x1b]0;title\x07\x1b[2J\x1b[1;1H\x1b[1;38;2;1;2;3mtitle\x1b[0m"
        "\x1b[2;3H\x1b[31m★ four\x1b[0m words\x1b[3;1Hleft\r\nnext\x1b[2;5H\x1b[KX"
    )
    for cut in range(len(drawn)):
        program, viewer = TerminalGrid(20, 5), TerminalGrid(20, 5)
        for piece in (drawn[:cut], drawn[cut:]):
            program.feed(piece)
            viewer.feed(program.changes())
            assert viewer.cells == program.cells, cut
    assert program.text.splitlines() == ["title", "  ★ X", "left", "next"]
    assert program.cells[0][0] == ("t", "1;38;2;1;2;3")
    assert program.cells[2][0] == ("l", "")
    assert program.changes() == "", "nothing changed since"
