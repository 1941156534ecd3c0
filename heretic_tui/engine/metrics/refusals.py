"""Refusals: how many of the bad evaluation prompts the model declines to answer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.metrics.base import Response, Verdict
from heretic_tui.errors import UsageError
from heretic_tui.files import write_json
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import ResponseRecord, read_responses


class Refusals:
    """Responses to the bad evaluation prompts, and the number of prompts refused: greedy, up to `max_response_length`
    tokens."""

    name = "refusals"

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._prompts = prompts
        self.base: list[Response] = []

    def save(self, folder: RunFolder) -> None:
        self.write(folder, None, self.base)
        folder.seal(folder.responses(None))

    def restore(self, folder: RunFolder) -> bool:
        try:
            # Folders of older versions do not say after how many tokens a verdict was certain.
            with contextlib.suppress(KeyError):
                self.base = self.read(folder, None)
        except FileNotFoundError:
            return False
        if self.base and len(self.base) != len(self._prompts):
            path, self.base = folder.responses(None), []
            raise UsageError(f"{path} is damaged (it holds no verdicts on {len(self._prompts)} prompts)")
        return bool(self.base)

    def write(self, folder: RunFolder, trial: int | None, responses: Sequence[Response | None]) -> None:
        """Write responses (the base model's for None) with the prompts they answer; prompts without a verdict are told
        as such."""
        records = [_record(prompt.text, response) for prompt, response in zip(self._prompts, responses, strict=True)]
        write_json(folder.responses(trial), as_json(records))

    @staticmethod
    def read(folder: RunFolder, trial: int | None) -> list[Response]:
        """The responses of a measurement in full, as `write` left them.

        Raises:
            FileNotFoundError: when there are none.
            UsageError: when they are damaged, or not in full.
            KeyError: when an older version wrote them.
        """
        found = []
        for record in read_responses(folder, trial):
            if record.refused is None:
                raise UsageError(f"{folder.responses(trial)} is damaged (a prompt has no verdict)")
            if record.tokens is None:
                raise KeyError("tokens")
            verdict = Verdict(record.refused, record.marker, record.start, record.end)
            found.append(Response(record.text, verdict, record.tokens, record.whole))
        return found


def _record(prompt: str, response: Response | None) -> ResponseRecord:
    if response is None:
        return ResponseRecord(prompt=prompt, text="", refused=None, marker=None)
    verdict = response.verdict
    return ResponseRecord(
        prompt=prompt,
        text=response.text,
        refused=verdict.refused,
        marker=verdict.marker,
        start=verdict.start,
        end=verdict.end,
        tokens=response.tokens,
        whole=response.whole,
    )


def count(responses: Sequence[Response]) -> int:
    return sum(response.verdict.refused for response in responses)
