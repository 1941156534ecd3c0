"""Clusters: the harmful prompts' residuals in k clusters, and what leads from the harmless prompts' mean to each.

Refusal may be several directions, of prompts of several kinds. (Mura et al. 2025, *SOM Directions are Better than One*,
arXiv 2511.08379, take the nodes of a self-organising map; k-means is that without the map's grid, and gives the same
means where clusters are apart.) The k differences are made orthonormal: the first is the mean difference, which lies
among them, and the others are what is left of them, the largest first. With k = 1 it is the method `mean_difference`.
Costs no pass; with 400 prompts of a model with 4,096 channels less than a second a layer on one core of a CPU.
"""

from __future__ import annotations

from torch import Tensor

from heretic_tui.engine.directions.clusters import k_means
from heretic_tui.engine.directions.methods.base import EachLayer
from heretic_tui.engine.directions.subspaces import orthonormal
from heretic_tui.errors import HereticError
from heretic_tui.words import counted


class Clusters(EachLayer):
    """The span of {mean of cluster i of the bad prompts − mean of the good prompts}."""

    uses = ("directions_per_layer",)

    def of_layer(self, good: Tensor, bad: Tensor, count: int) -> Tensor:
        mean = good.mean(dim=0)
        difference = bad.mean(dim=0) - mean
        if count == 1:
            return difference
        if len(bad) < count:
            raise HereticError(
                f"{counted(len(bad), 'harmful prompt')} cannot be {count} clusters: ask for fewer directions"
            )
        centres, _ = k_means(bad, count)
        return orthonormal(difference, centres - mean, count)


METHOD = Clusters
