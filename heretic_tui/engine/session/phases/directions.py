"""Residuals gathered, and directions made of them; what makes the edits of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from heretic_tui.engine.analysis.geometry import direction_cosines, histograms, layer_diagnostics, separations
from heretic_tui.engine.anatomy.inspect import Look
from heretic_tui.engine.anatomy.kept import keep_writers
from heretic_tui.engine.directions.by_method import (
    MethodDirections,
    as_tensors,
    find_by_method,
    from_tensors,
    leading_by_method,
)
from heretic_tui.engine.directions.methods.base import Given
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.engine.directions.subspaces import leading
from heretic_tui.engine.edits.attach import Edits, attached
from heretic_tui.engine.edits.banks import EditBanks
from heretic_tui.engine.edits.rounds import edits_of_rounds
from heretic_tui.engine.inputs.direction_files import direction_path, read_direction_file
from heretic_tui.engine.measuring.reading import Reader
from heretic_tui.engine.memory import memory_share
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.phase import RunInputs, phase, unless_damaged
from heretic_tui.engine.session.phases.response_prefix import PreparedPrompts
from heretic_tui.engine.session.phases.rounds import edits_before
from heretic_tui.engine.session.phases.saved_directions import saved_directions
from heretic_tui.engine.tensor_files import keep_tensors
from heretic_tui.events import DirectionsFound
from heretic_tui.layer_figures import MethodFigures
from heretic_tui.settings.prompt_sets import KEPT_SET
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.titles import title_of
from heretic_tui.work import Work

# Share of the free memory that the products of matrices and directions may take.
BANK_SHARE = 0.1


@dataclass(frozen=True)
class FoundDirections:
    """The directions of a run, and what makes edits of them.

    Attributes:
        by_method: what each direction method found, by its name.
        leading: of each method, of each layer the one that figures of a single direction are about
            (directions/subspaces.py), (layers + 1, hidden).
        before: the edits of earlier rounds, which all edits of the bank are on top of; none where the run is on top of
            the model itself.
    """

    by_method: Mapping[str, MethodDirections]
    leading: Mapping[str, Tensor]
    bank: EditBanks
    before: Edits = field(default_factory=dict)


def check_direction_file(settings: Settings, look: Look) -> None:
    """Look before the model is loaded whether the directions of a file are for it.

    Args:
        look: at the model.

    Raises:
        UsageError: where they are not.
    """
    if settings.direction_file is None:
        return
    path = direction_path(settings.direction_file)
    if (found := look()) is None:
        return
    read_direction_file(path, len(found.anatomy.layers) + 1, found.hidden_size, settings.directions_per_layer)


def directions_of_run(
    run: RunInputs, model: ChatModel, prompts: PreparedPrompts, work: Work
) -> tuple[FoundDirections, dict[str, Tensor]]:
    """The directions from the run folder, or found now and kept there.

    Returns:
        The directions, and the residuals that were gathered for them, by the name of the set; none where the folder
        held the directions.

    Raises:
        HereticError: where the model is not the run's own, and the folder does not hold them.
        NotFiniteError: where the base model overflows on a prompt.
        Aborted: from the control, between batches.
    """
    gathered: dict[str, Residuals] = {}
    reader: Reader | None = None
    methods, size = list(run.direction_methods), (model.depth, model.hidden_size)
    with phase("residuals", work) as running:
        before = edits_of_rounds(model.anatomy.writers, edits_before(run.folder, *size))
        found = unless_damaged(partial(saved_directions, run.folder, run.folder.directions, *size, methods), work)
        running.reused = found is not None
        if found is None:
            run.require("directions")
            # They are those of the model that earlier rounds left.
            with attached(model.anatomy.writers, before):
                sets = {name: prompts.tokens[name] for name in ("good_prompts", "bad_prompts")}
                packed = run.record.reading != "padded"
                # What was read so far was read by the original model.
                reader = None if before else prompts.reader
                reader = reader or Reader(model, sets, run.settings.winsorization_quantile, packed)
                kept = {name: rows for name, rows in prompts.tokens.items() if name.startswith(KEPT_SET)}
                readers = dict.fromkeys(sets, reader)
                if kept:
                    reader_of_kept = Reader(model, kept, run.settings.winsorization_quantile, packed)
                    readers |= dict.fromkeys(kept, reader_of_kept)
                for name, each in readers.items():
                    with run.naming((name, len(run.sets[name]))):
                        gathered[name] = each.residuals(name, work.progress(f"residuals of {title_of(name)}"))
    with phase("directions", work):
        if run.own and not run.folder.writers.is_file():
            keep_writers(run.folder, model.anatomy)
        if found is None:
            assert reader is not None
            good, bad = gathered["good_prompts"], gathered["bad_prompts"]
            given = Given(
                good,
                bad,
                kept={name.removeprefix(KEPT_SET): gathered[name] for name in kept},
                count=run.settings.directions_per_layer,
                file=direction_path(run.settings.direction_file) if run.settings.direction_file else None,
            )
            by_method = find_by_method(run.direction_methods, given, run.settings)
            vectors = by_method[methods[0]].vectors
            # Of one direction it is that.
            told = {} if vectors.shape[1] == 1 else {"leading": leading(vectors, bad.mean - good.mean)}
            found = {"good_mean": good.mean, "bad_mean": bad.mean, **as_tensors(by_method), **told}
            for name, lead in leading_by_method(by_method, found).items():
                behind = "" if name == methods[0] else f".{name}"
                found |= {f"good_along{behind}": good.along(lead), f"bad_along{behind}": bad.along(lead)}
            keep_tensors(run.folder, run.folder.directions, found)
            run.folder.save_record(replace(run.record, reading=reader.way))
        by_method = from_tensors(found, methods)
        share = memory_share(model.device, BANK_SHARE)
        leads = leading_by_method(by_method, found)
        first, *others = methods
        banks = EditBanks(model.anatomy.writers, by_method, run.edit_method, share, before)
        directions = FoundDirections(by_method, leads, banks, before)
        along = found["good_along"], found["bad_along"]
        work.tell(
            DirectionsFound(
                layers=layer_diagnostics(found["good_mean"], found["bad_mean"], *along),
                histograms=histograms(*along),
                cosines=direction_cosines(leads[first]),
                rank=by_method[first].vectors.shape[1],
                method=first,
                ranks={name: each.vectors.shape[1] for name, each in by_method.items()},
                left_alone=by_method[first].left_alone(),
                others={
                    name: _figures(
                        leads[name], (found[f"good_along.{name}"], found[f"bad_along.{name}"]), by_method[name]
                    )
                    for name in others
                    # Folders of older versions lack it.
                    if f"good_along.{name}" in found and f"bad_along.{name}" in found
                },
            )
        )
    return directions, {name: residuals.each for name, residuals in gathered.items()}


def _figures(first: Tensor, along: tuple[Tensor, Tensor], found: MethodDirections) -> MethodFigures:
    """What is told of a method's leading directions, (layers + 1, hidden), and what the prompts have along them."""
    return MethodFigures(
        separations=separations(*along),
        histograms=histograms(*along),
        cosines=direction_cosines(first),
        left_alone=found.left_alone(),
    )
