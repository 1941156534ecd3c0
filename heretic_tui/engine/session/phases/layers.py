"""The phase in which the layers are analysed, after the search: the record made of all residuals, one event told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from heretic_tui import events as ev
from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.engine.analysis.layer_effects import LayerEffects, Tried, find_refusal_tokens, try_layers
from heretic_tui.engine.analysis.logit_lens import Lens
from heretic_tui.engine.analysis.record import (
    first_tokens_of_refusals,
    geometry_of,
    save_analysis,
    save_views,
    saved_analysis,
    with_effects,
    with_separation,
    with_tokens,
    without_figures,
)
from heretic_tui.engine.directions.residual_store import ResidualStore
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.baseline import Baseline
from heretic_tui.engine.session.phases.directions import FoundDirections
from heretic_tui.engine.session.phases.phase import RunInputs, phase, unless_damaged
from heretic_tui.engine.session.phases.residuals import residuals_of_run
from heretic_tui.layer_figures import LayerFigures, several_directions
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.rounds import round_words
from heretic_tui.work import Work


def layers_known(run: RunInputs, work: Work) -> ev.LayersAnalysed | None:
    """What the run folder holds of the layers; None where they are to be analysed. Damage is told."""
    # Residuals that are missing are gathered again: commands and plots refer people to this.
    kept = run.folder.residuals.is_file() or not run.settings.keep_residuals
    return unless_damaged(partial(saved_analysis, run.folder), work) if kept else None


def analyse_layers_of_run(
    run: RunInputs,
    model: ChatModel,
    tokens: Mapping[str, Sequence[Tokens]],
    baseline: Baseline,
    directions: FoundDirections,
    work: Work,
) -> ev.LayersAnalysed:
    """Find what the directions are, do and say, and keep it in the run folder. The search needs none of it.

    Raises:
        Exception: whatever fails in it.
        Aborted: from the control, between layers and batches.
    """
    with phase("layers", work):
        found = _analysis(run, model, tokens, baseline, directions, work)
        work.tell(found)
    return found


def _analysis(
    run: RunInputs,
    model: ChatModel,
    tokens: Mapping[str, Sequence[Tokens]],
    baseline: Baseline,
    directions: FoundDirections,
    work: Work,
) -> ev.LayersAnalysed:
    refused = tokens["bad_evaluation_prompts"]
    behaviour = run.settings.behaviour_in_words
    if baseline.responses:
        verdicts = zip(refused, baseline.responses, strict=True)
        # Those that show it, whichever way it is to be changed.
        refused = [prompt for prompt, response in verdicts if response.verdict.refused != behaviour.added]
    return analyse_layers(
        model,
        residuals_of_run(run, model, tokens, directions.before, work),
        directions,
        refused,
        tokens["good_evaluation_prompts"],
        run.settings.layer_test_prompts,
        run.folder,
        work,
        behaviour,
    )


def analyse_layers(
    model: ChatModel,
    store: ResidualStore,
    directions: FoundDirections,
    refused: Sequence[Tokens],
    answered: Sequence[Tokens],
    count: int,
    folder: RunFolder,
    work: Work,
    behaviour: Behaviour = USUAL,
) -> ev.LayersAnalysed:
    """Make the record of the layers and write it to the run folder.

    Args:
        refused: bad evaluation prompts that the base model refuses.
        answered: good evaluation prompts.
        count: how many of each to try every layer on; 0: none.
        behaviour: in whose words notes are.

    Raises:
        Aborted: from the control, between layers and batches.
    """
    first, *others = directions.leading
    rows, views = geometry_of(store, work)
    lens = Lens(model)
    by_method: dict[str, list[LayerFigures]] = {}
    for name, lead in directions.leading.items():
        known = with_separation(rows if name == first else without_figures(rows), store, lead)
        by_method[name] = with_tokens(known, lens, lead, directions.by_method[name].vectors)
    notes, own_notes = [], {name: _of_rank(directions, name) for name in by_method}
    if folder.read_record().rounds:
        notes.append(f"the model is the one that {round_words(folder.read_record().rounds)} leaves")
    if not lens.has_norm:
        notes.append("no final norm was found: what the directions say is read from the stream as it is")
    refusal = None
    if count and not refused:
        said = "the model refuses none of the harmful evaluation prompts: no layer was tried by itself"
        notes.append(behaviour.in_words(said))
    elif count:
        bad, good = refused[:count], answered[:count]
        with attached(model.anatomy.writers, directions.before):
            tokens = find_refusal_tokens(model, bad, good)
        effects: dict[str, LayerEffects] = {}
        if tokens.telling:
            lengths = [row.geometry["|r|"] or 0.0 for row in rows]
            effects = _effects(model, bad, good, tokens.ids, directions, lengths, work)
            for name, each in effects.items():
                if torch.isfinite(each.stream).all():
                    by_method[name] = with_effects(by_method[name], each)
                else:
                    own_notes[name].append("logits with a layer edited were not finite numbers: no effects are shown")
        else:
            notes.append(
                f"the first token does not tell {behaviour.name} from {behaviour.others} (probabilities "
                f"{tokens.bad:.2f} and {tokens.good:.2f}): no layer was tried by itself; set --response-prefix to what "
                "responses begin with"
            )
        names = [model.decode([token]) for token in tokens.ids]
        measured = next(iter(effects.values()), None)
        refusal = first_tokens_of_refusals(tokens, names, measured, len(bad), len(good))
    found = ev.LayersAnalysed(
        layers=by_method[first],
        prompts={name: store.count(name) for name in store.names},
        refusal=refusal,
        notes=[*own_notes[first], *notes],
        others={name: by_method[name] for name in others},
        other_notes={name: [*own_notes[name], *notes] for name in others},
        method=first,
    )
    save_views(folder, "pca", views, store.count("good_prompts"))
    save_analysis(folder, found)
    return found


def _of_rank(directions: FoundDirections, name: str) -> list[str]:
    """What is to be known of figures where a layer has several directions."""
    rank = directions.by_method[name].vectors.shape[1]
    return [several_directions(rank)] if rank > 1 else []


def _effects(
    model: ChatModel,
    bad: Sequence[Tokens],
    good: Sequence[Tokens],
    refusal_tokens: Sequence[int],
    directions: FoundDirections,
    lengths: Sequence[float],
    work: Work,
) -> dict[str, LayerEffects]:
    """What an intervention in one layer alone changes, by direction method."""

    def edits_of_layer(name: str, layer: int) -> Mapping[str, Edit]:
        """The edits that keep one layer from writing its own directions."""
        alone = Kernel(max_weight=1.0, max_weight_position=float(layer), min_weight=1.0, min_weight_distance=0.5)
        edit = Parameters(None, dict.fromkeys(model.anatomy.components, alone), name)
        return directions.bank.edits(edit, masked=False)

    tried = {
        name: Tried(found.vectors, found.read_along, directions.leading[name], partial(edits_of_layer, name))
        for name, found in directions.by_method.items()
    }
    methods = f", for each of {len(tried)} direction methods" if len(tried) > 1 else ""
    progress = work.progress(f"each layer by itself{methods}")
    return try_layers(model, bad, good, refusal_tokens, tried, lengths, before=directions.before, progress=progress)
