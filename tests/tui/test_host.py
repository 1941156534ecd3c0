"""The engine on a thread of the screen's process."""

from __future__ import annotations

import gc
from pathlib import Path

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.host import ThreadHost


def models() -> set[int]:
    """By their places in memory."""
    from heretic_tui.engine.model.chat_model import ChatModel

    # What is frozen is not listed.
    gc.unfreeze()
    return {id(each) for each in gc.get_objects() if isinstance(each, ChatModel)}


def test_the_model_of_a_run_that_was_closed_lies_beside_no_other(tmp_path: Path) -> None:
    # Whatever tests before this one left.
    before = models()
    flags = {"n_trials": 1, "n_startup_trials": 1, "runs_dir": str(tmp_path)}
    host = ThreadHost(load_settings(flags, base=settings_of_the_demo()))
    host.engine.close()
    host.start()
    host.join()
    assert host.outcome == "done", host.failure
    assert models() <= before
