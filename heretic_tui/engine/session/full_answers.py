"""Answers to evaluation prompts decoded to their end, as they were measured but without a cut, and kept in the run
folder."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from heretic_tui.commands import FullAnswers
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.rows import Row, decode_rows, room
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.session.judged import judged
from heretic_tui.engine.session.samples import parameters_of_trial
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import FullAnswersFound
from heretic_tui.run.full_answers import FullAnswer, keep_full_answers, read_full_answers
from heretic_tui.run.results import read_responses
from heretic_tui.run.state import RunState
from heretic_tui.work import Work

# Tokens of an answer, where the run itself measures no longer ones.
_LIMIT = 512
# Seconds between two writes while answers come.
_WRITE_EVERY = 1.0

log = logging.getLogger(__name__)


@dataclass
class _Answers:
    """What is kept of one model, and the places of prompts whose answers have come since it was told last."""

    trial: int | None
    kept: dict[int, FullAnswer]
    measured: dict[int, str]
    new: list[int] = field(default_factory=list)


def find_full_answers(bench: Workbench, asked: FullAnswers, state: RunState, work: Work) -> Steps[None]:
    """Decode what the run folder does not hold yet, the models and prompts that are asked for in one batch; keep it,
    and tell which are there as they come. The last event of each model says that it has ended.

    Raises:
        UsageError: for a trial or a prompt that is not there.
        HereticError: when logits are not finite, or the folder cannot be written.
    """
    name = "good_evaluation_prompts" if asked.harmless else "bad_evaluation_prompts"
    prompts, tokens = bench.run.sets[name], bench.tokens[name]
    if wrong := [number for number in asked.prompts if not 0 <= number < len(prompts)]:
        raise UsageError(f"there is no prompt {wrong[0] + 1}: the set has {len(prompts)}")
    limit = asked.limit or max(_LIMIT, bench.run.settings.max_response_length)
    folder, rows, of_row = bench.run.folder, [], []
    models = [_Answers(trial, *_known(bench, trial, asked.harmless)) for trial in dict.fromkeys(asked.trials)]
    for model in models:
        edits = bench.edits_of(parameters_of_trial(model.trial, state))
        for number in dict.fromkeys(asked.prompts):
            if not _is_whole(model.kept.get(number), limit):
                rows.append(Row(tokens[number], edits, room(bench.model, tokens[number], limit)))
                of_row.append((model, number))
    written = time.monotonic()

    def tell(ended: bool) -> None:
        nonlocal written
        written = time.monotonic()
        for model in models:
            if model.new:
                keep_full_answers(folder, model.trial, asked.harmless, model.kept)
        for model in models:
            if model.new or ended:
                there = sorted(set(asked.prompts) & model.kept.keys()) if ended else sorted(model.new)
                _tell(asked, model.trial, there, ended, None, work)
            model.new.clear()

    def heard(row: int, response: Tokens, ended: str | None) -> bool:
        if ended:
            model, number = of_row[row]
            model.kept[number] = _answer(bench, number, prompts[number], response, ended, limit, model.measured)
            model.new.append(number)
            if time.monotonic() - written >= _WRITE_EVERY:
                tell(ended=False)
        return False

    try:
        yield from decode_rows(bench.model, rows, heard, together=bench.baseline.together)
    except Exception:
        # What has come is kept, whatever ends the rest.
        tell(ended=False)
        raise
    tell(ended=True)


def tell_failure(asked: FullAnswers, error: str, work: Work) -> None:
    """Tell that no more answers come, and why."""
    for trial in dict.fromkeys(asked.trials):
        _tell(asked, trial, [], True, error, work)


def _tell(
    asked: FullAnswers, trial: int | None, prompts: list[int], ended: bool, error: str | None, work: Work
) -> None:
    work.tell(
        FullAnswersFound(id=asked.id, trial=trial, prompts=prompts, harmless=asked.harmless, ended=ended, error=error)
    )


def _known(bench: Workbench, trial: int | None, harmless: bool) -> tuple[dict[int, FullAnswer], dict[int, str]]:
    """What the folder holds of a model: its full answers, and the text of each response that was measured."""
    folder = bench.run.folder
    measured: dict[int, str] = {}
    if not harmless:
        try:
            responses = read_responses(folder, trial)
            measured = {n: response.text for n, response in enumerate(responses) if response.refused is not None}
        except (FileNotFoundError, HereticError):
            log.info("no measured responses to compare with", exc_info=True)
    return read_full_answers(folder, trial, harmless), measured


def _is_whole(answer: FullAnswer | None, limit: int) -> bool:
    """Whether an answer need not be decoded again."""
    return answer is not None and (answer.ended == "end" or answer.limit >= limit)


def _answer(
    bench: Workbench, number: int, prompt: Prompt, response: Tokens, ended: str, limit: int, measured: dict[int, str]
) -> FullAnswer:
    text = bench.model.decode(response)
    verdict, _ = judged(bench.baseline.evaluation.judge, text, ended == "end", prompt=prompt.text)
    # A character of several tokens may have been cut.
    begins = measured[number].rstrip("\ufffd") if number in measured else None
    return FullAnswer(
        number=number,
        prompt=prompt.text,
        text=text,
        tokens=len(response),
        ended=ended,
        limit=limit,
        verdict=verdict,
        same=None if begins is None else text.startswith(begins),
    )
