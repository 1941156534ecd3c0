"""What the unedited model says to the evaluation prompts, which trials are compared with: measured once, and kept in
the run folder; and the responses of trials, kept the same way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.checked import of_first_tokens, of_responses, per_prompt
from heretic_tui.engine.measuring.job import Job, Pool
from heretic_tui.engine.metrics.base import Metrics, Response
from heretic_tui.engine.tensor_files import keep_tensors, kept_tensors
from heretic_tui.errors import UsageError
from heretic_tui.files import write_json
from heretic_tui.plugins import METRICS, calling
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import ResponseRecord, read_responses


def first_tokens(pool: Pool, job: Job, prompts: int) -> Tensor:
    """Log-probabilities of the first response token to the good evaluation prompts, float32 on the CPU,
    (prompts, vocabulary).

    Raises:
        NotFiniteError: with all rows for which they are not finite.
    """
    parts: dict[int, Tensor] = {}
    lost: list[int] = []
    for rows, logits in pool.first_logits(job, "good", range(prompts)):
        lost += [row for row, token in zip(rows, most_likely(logits).tolist(), strict=True) if token == NO_TOKEN]
        parts.update(zip(rows, torch.log_softmax(logits, dim=-1).cpu(), strict=True))
    if lost:
        raise NotFiniteError(sorted(lost))
    return torch.stack([parts[row] for row in range(prompts)])


def base_figures(metrics: Metrics, tokens: Tensor | None, responses: Sequence[Response]) -> dict[str, float]:
    """Show the metrics what the base model says, and measure the base model itself with them.

    Args:
        tokens: what `first_tokens` gave; None where no metric needs it.
        responses: to the bad evaluation prompts; empty where no metric needs them.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    values: dict[str, Tensor] = {}
    for key, metric in metrics.first_tokens.items():
        assert tokens is not None
        with calling(METRICS, key):
            metric.take_base(tokens)
        values[key] = per_prompt(metric, key, range(len(tokens)), tokens)
    for key, counting in metrics.responses.items():
        with calling(METRICS, key):
            counting.take_base(responses)
    found = {**of_first_tokens(metrics, values, len(responses) or None), **of_responses(metrics, responses)}
    # How responses begin is not known yet, and no check has looked.
    later = {*metrics.openings, *metrics.review}
    return {figure.key: found[figure.key] for figure in metrics.figures if figure.key not in later}


def keep_first_tokens(folder: RunFolder, tokens: Tensor) -> None:
    keep_tensors(folder, folder.baseline, {"log_probabilities": tokens})


def kept_first_tokens(folder: RunFolder, prompts: int) -> Tensor | None:
    """What `keep_first_tokens` left, None where it left nothing.

    Raises:
        UsageError: when it is damaged, or of another number of prompts.
    """
    found = kept_tensors(folder, folder.baseline, "log_probabilities")
    if found is None:
        return None
    base = found["log_probabilities"]
    if base.dtype != torch.float32 or base.ndim != 2 or len(base) != prompts or base.isnan().any():
        raise UsageError(f"{folder.baseline} is damaged (it holds no log-probabilities of {prompts} prompts)")
    return base


def keep_responses(
    folder: RunFolder, trial: int | None, prompts: Sequence[Prompt], responses: Sequence[Response | None]
) -> None:
    """Write responses (the base model's for None) with the prompts they answer; prompts without a verdict are told as
    such."""
    records = [_record(prompt.text, response) for prompt, response in zip(prompts, responses, strict=True)]
    write_json(folder.responses(trial), as_json(records))
    if trial is None:
        folder.seal(folder.responses(None))


def kept_responses(folder: RunFolder, trial: int | None, prompts: int) -> list[Response] | None:
    """The responses of a measurement in full, as `keep_responses` left them; None where it left none, or an older
    version did, which did not say after how many tokens a verdict was certain.

    Raises:
        UsageError: when they are damaged, or not in full.
    """
    path = folder.responses(trial)
    try:
        records = read_responses(folder, trial)
    except FileNotFoundError:
        return None
    found = []
    for record in records:
        verdict = record.verdict
        if verdict is None:
            raise UsageError(f"{path} is damaged (a prompt has no verdict)")
        if record.tokens is None:
            return None
        found.append(Response(record.text, verdict, record.tokens, record.whole))
    if len(found) != prompts:
        raise UsageError(f"{path} is damaged (it holds no verdicts on {prompts} prompts)")
    return found


def _record(prompt: str, response: Response | None) -> ResponseRecord:
    if response is None:
        return ResponseRecord(prompt=prompt, text="", refused=None, marker=None)
    return ResponseRecord.judged(prompt, response.text, response.verdict, response.tokens, response.whole)
