"""A scrolled view whose number of lines can change without a layout of the whole screen."""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView


class SteadyScroll(ScrollView):
    """Lines that are drawn one by one."""

    def resize_to(self, lines: int) -> None:
        """Have so many lines. Textual lays out and repaints the screen for each change of the size (7 ms at 120x40);
        where the scroll bar stays, or stays away, only its grip has to change."""
        before, height = self.virtual_size.height, self.size.height
        if before == lines:
            return
        stays = self.show_vertical_scrollbar and min(lines, before) > height
        stays_away = not self.show_vertical_scrollbar and max(lines, before) <= height
        if not (stays or stays_away):
            self.virtual_size = Size(0, lines)
            return
        self.set_reactive(SteadyScroll.virtual_size, Size(0, lines))
        if stays:
            self.vertical_scrollbar.window_virtual_size = lines
            if self.scroll_offset.y > lines - height:
                self.scroll_to(y=lines - height, animate=False)
