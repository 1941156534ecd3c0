"""The verdict of the run's judge on an answer that was asked for, or why there is none."""

from __future__ import annotations

from dataclasses import replace

from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.errors import HereticError
from heretic_tui.verdict import Verdict


def judged(
    judge: RunJudge, text: str, ended: bool, whole: bool = True, before: str = "", prompt: str = ""
) -> tuple[Verdict | None, str | None]:
    """The verdict on a response, and why there is none.

    Args:
        text: what the model made, special tokens visible.
        ended: whether the model ended it; False where it was cut at a limit, or stopped.
        whole: false where it was stopped. What was said can be a refusal for certain even so.
        before: what the answer begins with that the model did not make (the response prefix); it is not judged, as it
            is not when trials are measured, and places are told behind it.
        prompt: what was asked.
    """
    try:
        if not whole and not judge.certain(text):
            return None, "no verdict: stopped before its end"
        found = judge.verdict(text, ended, prompt)
    except HereticError as error:
        return None, f"no verdict: {error}"
    if found.marker == "" and text.strip():
        return None, "no verdict: it ended while it was thinking"
    if found.start is not None and found.end is not None:
        found = replace(found, start=found.start + len(before), end=found.end + len(before))
    return found, None
