"""How refusals of a model begin, and so the probability that a response is a refusal before it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heretic_tui.engine.finite import NotFiniteError, rows_not_finite
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.job import Forced, Job, Pool, SetName
from heretic_tui.engine.measuring.parting import Parting
from heretic_tui.errors import UsageError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.folder import RunFolder

Values = NDArray[np.float64]

_FORMAT = 1
# A probability that is surer than this tells nothing more.
_SURE = 1e-6
# What is assumed of the scale before any verdict is known, and how sure that is: a greedy response is a refusal where
# that is likelier than not, so the figure is steeper than the probability of a response that is drawn.
_SLOPE, _SLOPE_ERROR, _SHIFT_ERROR = 1.5, 0.7, 0.7


@dataclass(frozen=True)
class Scale:
    """What the probability of a refusing beginning says of verdicts: log-odds = shift + slope · log-odds of it. The
    slope is above 0; below 0 where what counts are the responses that are no refusals."""

    slope: float = 1.0
    shift: float = 0.0

    @property
    def turned(self) -> Scale:
        """The scale that gives the probability of all others."""
        return Scale(-self.slope, -self.shift)

    def __call__(self, values: Tensor) -> Tensor:
        return torch.sigmoid(self.shift + self.slope * torch.logit(values.clamp(_SURE, 1 - _SURE)))


@dataclass(frozen=True)
class Openings:
    """How refusals of a model begin.

    Attributes:
        parting: where they part from answers, for each bad evaluation prompt.
        prompts: tokens of the bad evaluation prompts.
        base: the probability that the base model's response is a refusal, by bad evaluation prompt, float64 on the CPU,
            (prompts,).
    """

    parting: Parting
    scale: Scale
    prompts: Sequence[Tokens]
    base: Tensor

    def per_prompt(self, pool: Pool, job: Job, rows: Sequence[int]) -> Tensor:
        """The probability that the response under a job's edits is a refusal, float64 on the CPU, (rows,).

        Args:
            job: need not be in hand.
            rows: bad evaluation prompts by their place.

        Raises:
            NotFiniteError: with the rows for which the logits are not finite.
            Aborted: from the control, between batches.
        """
        return self.scale(refusing(pool, job, rows, self.parting, self._forced))

    @cached_property
    def _forced(self) -> Forced:
        """One object, by which a pool knows what it keeps."""
        return forced_by(self.parting, self.prompts)


def forced_by(parting: Parting, prompts: Sequence[Tokens]) -> Forced:
    rows = [prompt + given for prompt, given in zip(prompts, parting.given, strict=True)]
    return Forced(rows, parting.positions)


def refusing(pool: Pool, job: Job, rows: Sequence[int], parting: Parting, forced: Forced) -> Tensor:
    """The probability of a refusing beginning under a job's edits, float64 on the CPU, (rows,).

    Raises:
        NotFiniteError, Aborted: as `Openings.per_prompt`.
    """
    parts: dict[int, float] = {}
    if parting.is_at_once:
        for found, logits in pool.first_logits(job, "bad", rows):
            mass = _finite(found, logits).double().softmax(dim=-1)[:, list(parting.ids)].sum(dim=-1)
            parts.update(zip(found, mass.tolist(), strict=True))
    else:
        for found, several in pool.forced_logits(job, forced, rows):
            for row, logits in zip(found, several, strict=True):
                wanted = parting.positions_of(row)
                last = _finite([row] * wanted, logits[-wanted:]).double().log_softmax(dim=-1)
                parts[row] = parting.refusing(row, last)
    return torch.tensor([parts[row] for row in rows], dtype=torch.float64)


def mean_first_tokens(pool: Pool, job: Job, name: SetName, rows: Sequence[int]) -> Tensor:
    """The mean first-token distribution after some evaluation prompts, float64 on the CPU, (vocabulary,).

    Raises:
        NotFiniteError, Aborted: as `Openings.per_prompt`.
    """
    parts: dict[int, Tensor] = {}
    for found, logits in pool.first_logits(job, name, rows):
        parts.update(zip(found, _finite(found, logits).softmax(dim=-1).cpu(), strict=True))
    # In the order of the rows, so that the sum does not depend on batches.
    return torch.stack([parts[row] for row in rows]).double().mean(dim=0)


def fitted_scale(values: Tensor, refused: Sequence[bool]) -> Scale:
    """The scale by which probabilities of a refusing beginning say most of verdicts (logistic regression). Where all
    verdicts are alike they say nothing of it.

    Args:
        values: float64 on the CPU, (pairs,).
        refused: the verdict of each pair.
    """
    if len(set(refused)) < 2:
        return Scale()
    x: Values = torch.logit(values.clamp(_SURE, 1 - _SURE)).numpy()
    points = np.stack([x, np.ones_like(x)], axis=1)
    verdicts = np.asarray(refused, dtype=np.float64)
    assumed = np.array([_SLOPE, 0.0])
    precision = np.diag([_SLOPE_ERROR**-2, _SHIFT_ERROR**-2])
    weights = assumed.copy()
    for _ in range(50):
        expected = 1 / (1 + np.exp(-np.clip(points @ weights, -30, 30)))
        slope = points.T @ (verdicts - expected) - precision @ (weights - assumed)
        curvature = (points * (expected * (1 - expected))[:, None]).T @ points + precision
        # Never more than one unit a step, so that it comes to an end wherever it begins.
        step = np.linalg.solve(curvature, slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
    # More refusing beginnings never say fewer refusals.
    return Scale(max(float(weights[0]), 0.1), float(weights[1]))


@dataclass(frozen=True)
class _Kept:
    """openings.json.

    Attributes:
        why_not: why no refusals can be expected; all else is empty then.
    """

    format: int = _FORMAT
    why_not: str = ""
    ids: tuple[int, ...] = ()
    given: tuple[tuple[int, ...], ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    from_start: bool = False
    slope: float = 1.0
    shift: float = 0.0
    base: tuple[float, ...] = ()


def keep_openings(folder: RunFolder, found: Openings | str) -> None:
    """Write what was found to the run folder: how refusals begin, or why that cannot be told."""
    if isinstance(found, str):
        kept = _Kept(why_not=found)
    else:
        parting = found.parting
        kept = _Kept(
            ids=tuple(parting.ids),
            given=tuple(map(tuple, parting.given)),
            places=tuple(map(tuple, parting.places)),
            from_start=parting.from_start,
            slope=found.scale.slope,
            shift=found.scale.shift,
            base=tuple(found.base.tolist()),
        )
    write_json(folder.openings, as_json(kept))
    folder.seal(folder.openings)


def kept_openings(folder: RunFolder, prompts: Sequence[Tokens], vocabulary: int) -> Openings | str | None:
    """What `keep_openings` left, None where it left nothing.

    Raises:
        UsageError: when it is damaged, or of other prompts.
    """
    path = folder.openings
    try:
        folder.check(path)
        kept = read(_Kept, read_json(path))
    except FileNotFoundError:
        return None
    except Misfit as misfit:
        raise UsageError(f"{path} is damaged ({misfit})") from misfit
    if kept.why_not and kept.format == _FORMAT:
        return kept.why_not
    tokens = [*kept.ids, *(token for given in kept.given for token in given)]
    whole = {len(kept.given), len(kept.places), len(kept.base)} == {len(prompts)}
    fits = whole and all(
        places and list(places) == sorted(set(places)) and places[0] >= 0 and places[-1] == len(given)
        for given, places in zip(kept.given, kept.places, strict=True)
    )
    sound = abs(kept.slope) > 0 and all(0 <= value <= 1 for value in kept.base)
    if not (kept.format == _FORMAT and fits and sound and kept.ids and all(0 <= t < vocabulary for t in tokens)):
        raise UsageError(f"{path} is damaged (it does not say how refusals of {len(prompts)} prompts begin)")
    parting = Parting(list(kept.ids), [list(given) for given in kept.given], kept.places, kept.from_start)
    base = torch.tensor(kept.base, dtype=torch.float64)
    return Openings(parting, Scale(kept.slope, kept.shift), prompts, base)


def _finite(rows: Sequence[int], logits: Tensor) -> Tensor:
    if lost := [rows[place] for place in rows_not_finite(logits.logsumexp(dim=-1, keepdim=True))]:
        raise NotFiniteError(lost)
    return logits
