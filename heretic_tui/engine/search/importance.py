"""Which parameters of an edit matter for an objective: Optuna's fANOVA over the trials of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import create_trial

from heretic_tui.bounds import HERETIC_1, Bounds
from heretic_tui.engine.search.space import Sampled, Space, share_names
from heretic_tui.errors import HereticError

# Fewer trees than Optuna grows: the first digits of the shares are the same, in a quarter of the time.
_TREES, _DEPTH = 16, 16
# The latest trials: the time grows with their number.
_MOST = 500


def importances(
    points: Sequence[tuple[Sampled, float]], depth: int, components: Sequence[str], bounds: Bounds = HERETIC_1
) -> dict[str, float]:
    """The share that each dimension of the search space has in how an objective varies, by its name, the largest first.

    Args:
        points: what trials were made of, and their objective; those outside of the space are left out.
        depth: number of decoder layers.
        bounds: of the space, by their names.

    Raises:
        HereticError: where there is too little to tell from.
    """
    # It brings scikit-learn, and that a library which draws: no other part of the engine needs either.
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    drawn = points[-1][0] if points else {}
    shares = sum(name in drawn for name in share_names(components[0], len(drawn)))
    methods = sorted({str(sampled["direction_method"]) for sampled, _ in points if "direction_method" in sampled})
    space = Space(depth, components, shares, dict.fromkeys(methods, shares), bounds)
    dimensions = {name: each for name, each in space.dimensions.items() if not each.single()}
    inside = [(sampled, value) for sampled, value in points if space.holds(sampled)][-_MOST:]
    if len({value for _, value in inside}) < 2:
        raise HereticError("cannot be told from these trials yet")
    study = optuna.create_study(direction="minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sampled, value in inside:
            values = {name: sampled[name] for name in dimensions}
            study.add_trial(create_trial(params=values, distributions=dimensions, value=value))
        evaluator = FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=0)
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
