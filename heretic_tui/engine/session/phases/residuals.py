"""The residuals of all prompts, kept in the run folder for the analysis of the layers: as they come up before the
search, or gathered later where they are missing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals, stored_bytes
from heretic_tui.engine.directions.residuals import winsorize
from heretic_tui.engine.edits.attach import Edits, attached
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.reading import Reader
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.errors import UsageError
from heretic_tui.settings.titles import title_of
from heretic_tui.work import Work


class TakenAlong:
    """Residuals of the evaluation prompts, caught in the passes that measure the base model (measuring/job.py:
    Job.residuals)."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._found: dict[str, dict[int, Tensor]] = {"good": {}, "bad": {}}

    def take(self, name: str, rows: Sequence[int], residuals: Tensor) -> None:
        """Take residuals (rows, layers + 1, hidden) of some prompts of a set."""
        self._found[name].update(zip(rows, winsorize(residuals, self._quantile), strict=True))

    def sets(self, tokens: Mapping[str, Sequence[Tokens]]) -> dict[str, Tensor]:
        """Those of whole sets, (prompts, layers + 1, hidden), by the set's name; a set of which some are missing, or
        are no numbers, is left out.

        Args:
            tokens: of the prompts, by the name of their set.
        """
        whole = {}
        for short, found in self._found.items():
            name = f"{short}_evaluation_prompts"
            if len(found) == len(tokens[name]):
                each = torch.stack([found[row] for row in range(len(found))])
                if bool(each.isfinite().all()):
                    whole[name] = each
        return whole


def keep_residuals(run: RunInputs, gathered: Mapping[str, Tensor], model: ChatModel, work: Work) -> None:
    """Keep what was gathered before the search in the run folder, where it is all.

    Args:
        gathered: residuals (prompts, layers + 1, hidden) by the name of their set.
    """
    if run.sets.keys() <= gathered.keys() and not run.folder.residuals.is_file() and _may_keep(run, model, work):
        ResidualStore.of({name: gathered[name] for name in run.sets}).save(run.folder)


def residuals_of_run(
    run: RunInputs, model: ChatModel, tokens: Mapping[str, Sequence[Tokens]], before: Edits, work: Work
) -> ResidualStore:
    """The residuals of all sets: from the run folder, else gathered and, if wanted, kept there.

    Args:
        before: edits of earlier rounds, which the model is read with.

    Raises:
        NotFiniteError: where residuals or logits are not finite.
        Aborted: from the control, between batches.
    """
    if run.folder.residuals.is_file():
        try:
            return open_residuals(run.folder)
        except UsageError as error:
            work.note(f"{error}: it is not used", "warning")
    with attached(model.anatomy.writers, before):
        reader = Reader(model, tokens, run.settings.winsorization_quantile)
        found = {name: reader.residuals(name, work.progress(f"residuals of {title_of(name)}")).each for name in tokens}
    store = ResidualStore.of(found)
    if _may_keep(run, model, work):
        store.save(run.folder)
    return store


def _may_keep(run: RunInputs, model: ChatModel, work: Work) -> bool:
    """Whether the residuals are to be kept, and fit on the disk: what that takes is said."""
    folder = run.folder
    if not run.settings.keep_residuals:
        return False
    prompts = sum(map(len, run.sets.values()))
    size, free = stored_bytes(prompts, model.depth, model.hidden_size), shutil.disk_usage(folder.path).free
    if size > 0.9 * free:
        text = f"the residuals would take {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free: they are not kept"
        work.note(text, "warning")
        return False
    work.note(
        f"Kept the residuals of {prompts:,} prompts ({size / 1e6:,.1f} MB) in {folder.residuals.name} "
        "(--no-keep-residuals keeps none)."
    )
    return True
