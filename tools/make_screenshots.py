"""Draws `screenshots/`: each screen over a real run of the demo, and the trials screen over a scripted run.

python -m tools.make_screenshots          (PNG files need `rsvg-convert`, from Debian's librsvg2-bin)
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.commands import Review
from heretic_tui.demo.settings import FOLDER, settings_of_the_demo
from heretic_tui.run.annotations import Note
from heretic_tui.settings.form import SettingsForm
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.host import ThreadHost
from heretic_tui.tui.messages import SendCommand
from heretic_tui.tui.themes import DARK
from tests.support import fake_run
from tools.pictures import for_any_font

ROOT = Path(__file__).parents[1]
OUT = ROOT / "screenshots"
SIZE = (120, 40)


async def until(pilot: Pilot[Any], true: Callable[[], bool]) -> None:
    while not true():
        await pilot.pause(0.05)


async def draw(pilot: Pilot[Any], name: str) -> None:
    await pilot.pause(0.6)
    svg = for_any_font(pilot.app.export_screenshot(title="heretic-tui"))
    (OUT / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{name}.svg")


async def from_the_demo(runs_dir: Path) -> None:
    """A picture of each screen, of a run from its first trial to its export."""
    # A copy under a short name: no picture shows where this checkout lies.
    demo = runs_dir / "demo"
    shutil.copytree(FOLDER, demo, ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    (demo / "model").rename(demo / "potions-2M")
    settings = json.dumps(settings_of_the_demo()).replace(str(FOLDER / "model"), str(demo / "potions-2M"))
    base = json.loads(settings.replace(str(FOLDER), str(demo)))
    form = SettingsForm({"runs_dir": str(runs_dir / "runs"), "seed": 0}, base=base)
    app = HereticApp(form, ThreadHost)
    async with app.run_test(size=SIZE) as pilot:
        app.theme = DARK
        await pilot.press("1", "j", "j")
        await pilot.pause(6)
        await draw(pilot, "setup")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.view.state.phase == "ready")
        best = next(t for t in app.view.state.front() if t.figures["refusals"] == 0)
        mildest = next(t for t in reversed(app.view.state.front()) if t.figures["refusals"] < 10)
        for number, note in ((mildest.number, "mildest that is ok"), (best.number, "answers all")):
            await pilot.press("number_sign", *str(number), "enter", "m")
            app.view.annotate(Note(trial=number, note=note))
        await pilot.resize_terminal(150, 46)
        await pilot.pause(2)
        await draw(pilot, "trials")
        await pilot.resize_terminal(*SIZE)
        await review(pilot, app)
        await pilot.press("C")
        await draw(pilot, "compare")
        await pilot.press("escape", "2")
        await draw(pilot, "layers")
        await pilot.press("3", "c", "ctrl+g", "ctrl+k", "right", "right")
        await pilot.pause(2)
        app.screen.query_one("#chat-input").focus()
        await pilot.press(*"What is the potion of honey made of?", "enter")
        await until(pilot, lambda: bool(app.view.conversations.turns) and not app.view.conversations.open)
        await pilot.press("escape", "ctrl+k")
        await draw(pilot, "chat")
        await pilot.press("escape", "3", "e", "ctrl+s")
        await until(pilot, lambda: isinstance(app.view.state.export, ev.ExportFinished))
        await draw(pilot, "export")
        await pilot.press("escape", "0")
        await pilot.pause(2)
        await draw(pilot, "home")
    assert app.view.host is not None
    if app.view.host.control:
        app.view.host.control.close()
    app.view.host.join()


async def review(pilot: Pilot[Any], app: HereticApp) -> None:
    """Marked trials and the ends of the front, with every check that needs nobody else; from Trials and back."""
    front = [trial.number for trial in app.view.state.front()]
    chosen = list(dict.fromkeys([*app.view.annotations.marks, front[0], front[-1]]))
    asked = Review(tuple(chosen), ("held_out", "sampling", "broken", "over_refusal", "damage"))
    app.post_message(SendCommand(asked))
    await until(pilot, lambda: app.view.reviews.course is not None)
    await until(pilot, lambda: app.view.reviews.course is None)
    app.view.reviews.join()
    await pilot.pause(1)
    await pilot.press("V")
    await pilot.pause(1)
    await draw(pilot, "review")
    await pilot.press("escape")


async def from_a_script(folder: Path) -> None:
    """A larger model in the middle of its search, on a small terminal."""
    host = fake_run.FakeHost(folder)
    host.push(*fake_run.story())
    app = HereticApp(SettingsForm({"model": "acme/guarded-8b"}), lambda settings: host, host, timed=False)
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = DARK
        app.tick()
        await pilot.press("g", "n")
        await draw(pilot, "trials-80x24")


def to_png(svg: Path) -> None:
    # Terminals keep spaces; what draws SVG is told to.
    text = svg.read_text(encoding="utf-8").replace("<svg ", '<svg xml:space="preserve" ', 1)
    text = text.replace("Fira Code", "DejaVu Sans Mono")
    command = ["rsvg-convert", "--width", "1300", "--output", str(svg.with_suffix(".png"))]
    subprocess.run(command, input=text.encode(), check=True)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    parts: list[Callable[[Path], Awaitable[None]]] = [from_the_demo, from_a_script]
    for part in parts:
        # A short path that stays the same, for it is in the pictures.
        folder = Path(tempfile.gettempdir()) / "heretic"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        asyncio.run(part(folder))  # type: ignore[arg-type]
        shutil.rmtree(folder)
    if shutil.which("rsvg-convert"):
        for svg in sorted(OUT.glob("*.svg")):
            to_png(svg)
    else:
        print("no PNG files: rsvg-convert is not installed")


if __name__ == "__main__":
    main()
