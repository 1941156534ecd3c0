"""The phase in which the layers are analysed: all residuals gathered and kept, the record made, one event told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from heretic_tui import events as ev
from heretic_tui.engine.analysis.layer_effects import find_refusal_tokens, try_layers
from heretic_tui.engine.analysis.logit_lens import Lens
from heretic_tui.engine.analysis.record import (
    first_tokens_of_refusals,
    geometry_of,
    save_analysis,
    save_views,
    with_effects,
    with_separation,
    with_tokens,
)
from heretic_tui.engine.analysis.where_refusal_lives import where_refusal_lives
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals, stored_bytes
from heretic_tui.engine.directions.residuals import gather_residuals
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work


def announce_size(settings: Settings, prompts: int, depth: int, hidden: int, folder: RunFolder, work: Work) -> bool:
    """Say what keeping the residuals will take; whether they are to be kept."""
    if not settings.keep_residuals or folder.residuals.is_file():
        return settings.keep_residuals
    size = stored_bytes(prompts, depth, hidden)
    free = shutil.disk_usage(folder.path).free
    if size > 0.9 * free:
        text = f"the residuals would take {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free: they are not kept"
        work.note(text, "warning")
        return False
    work.note(
        f"residuals of {prompts:,} prompts: {size / 1e6:,.1f} MB are kept in {folder.residuals.name} "
        "(--no-keep-residuals keeps none)"
    )
    return True


def gather_all(
    model: ChatModel,
    tokens: Mapping[str, Sequence[Tokens]],
    known: Mapping[str, Tensor],
    settings: Settings,
    keep: bool,
    folder: RunFolder,
    work: Work,
) -> ResidualStore:
    """The residuals of all sets: from the run folder, else gathered and, if wanted, kept there.

    Args:
        known: residuals that have been gathered already, by the name of their set.
    """
    if folder.residuals.is_file():
        try:
            return open_residuals(folder)
        except UsageError as error:
            work.note(f"{error}: it is not used", "warning")
    found = {}
    for name in tokens:
        if name in known:
            found[name] = known[name]
        else:
            progress = work.progress(f"residuals of {name.replace('_', ' ')}")
            found[name] = gather_residuals(model, tokens[name], settings.winsorization_quantile, progress).each
    store = ResidualStore.of(found)
    if keep:
        store.save(folder)
    return store


def analyse_layers(
    model: ChatModel,
    store: ResidualStore,
    directions: Tensor,
    edits_of_layer: Callable[[int], Mapping[str, Edit]],
    refused: Sequence[Tokens],
    answered: Sequence[Tokens],
    count: int,
    folder: RunFolder,
    work: Work,
) -> ev.LayersAnalysed:
    """Make the record of the layers and write it to the run folder.

    Args:
        directions: (layers + 1, hidden).
        edits_of_layer: see `try_layers`.
        refused: bad evaluation prompts that the base model refuses.
        answered: good evaluation prompts.
        count: how many of each to try every layer on; 0: none.

    Raises:
        Aborted: from the control, between layers and batches.
    """
    rows, views = geometry_of(store, work)
    rows = with_separation(rows, store, directions)
    notes = []
    lens = Lens(model)
    rows = with_tokens(rows, lens.read(directions))
    if not lens.has_norm:
        notes.append("no final norm was found: what the directions say is read from the stream as it is")
    refusal = None
    if count and not refused:
        notes.append("the model refuses none of the bad evaluation prompts: no layer was tried by itself")
    elif count:
        bad, good = refused[:count], answered[:count]
        tokens = find_refusal_tokens(model, bad, good)
        effects = None
        if tokens.telling:
            lengths = [row.geometry["|r|"] or 0.0 for row in rows]
            progress = work.progress("each layer by itself")
            effects = try_layers(model, bad, good, tokens.ids, directions, lengths, edits_of_layer, progress)
            if torch.isfinite(effects.stream).all():
                rows = with_effects(rows, effects)
            else:
                notes.append("logits with a layer edited were not finite numbers: no effects are shown")
                effects = None
        else:
            notes.append(
                "the first token does not tell refusals from answers (probabilities "
                f"{tokens.bad:.2f} and {tokens.good:.2f}): no layer was tried by itself; set --response-prefix to what "
                "responses begin with"
            )
        names = [model.decode([token]) for token in tokens.ids]
        refusal = first_tokens_of_refusals(tokens, names, effects, len(bad), len(good))
    found = ev.LayersAnalysed(
        layers=rows,
        prompts={name: store.count(name) for name in store.names},
        refusal=refusal,
        sentence=where_refusal_lives(rows, refusal),
        notes=notes,
    )
    save_views(folder, "pca", views, store.count("good_prompts"))
    save_analysis(folder, found)
    return found
