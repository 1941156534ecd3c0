"""Seconds and memory of everything that the analysis of the layers does without a model, on random residuals: keeping
them, geometry, principal components, separation, comparing, and pictures with their animation; not PaCMAP.

python -m benchmarks.layers_cost                 # 800 prompts, 33 residual indices of 4096 dimensions
python -m benchmarks.layers_cost --prompts 400 --layers 28 --hidden 2048

The aim at the default size, on two cores: under 60 s and under 4 GB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from heretic_tui.engine.analysis.plots import write_plots
from heretic_tui.engine.analysis.record import geometry_of, save_views, with_separation
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals
from heretic_tui.run.compare import compare_runs
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work

_EVALUATION = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=800, help="good and bad prompts together [800]")
    parser.add_argument("--layers", type=int, default=33, help="residual indices: layers and the embedding [33]")
    parser.add_argument("--hidden", type=int, default=4096, help="dimensions [4096]")
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        folder.create()
        with told("random residuals (not counted)"):
            sizes = {f"{kind}_prompts": options.prompts // 2 for kind in ("good", "bad")}
            sizes |= {f"{kind}_evaluation_prompts": _EVALUATION for kind in ("good", "bad")}
            sets = {
                name: torch.randn(count, options.layers, options.hidden, generator=generator)
                for name, count in sizes.items()
            }
            sets["bad_prompts"] += 0.1
        made = time.perf_counter() - started
        with told("kept on disk as float16"):
            ResidualStore.of(sets).save(folder)
        means = [sets[name].mean(dim=0, dtype=torch.float64) for name in ("good_prompts", "bad_prompts")]
        directions = torch.nn.functional.normalize(means[1] - means[0], dim=-1).float()
        found = {"good_mean": means[0], "bad_mean": means[1], "directions": directions}
        save_file(found, folder.directions)
        del sets
        with told("geometry and principal components"):
            store = open_residuals(folder)
            rows, views = geometry_of(store, Work())
        with told("separation"):
            rows = with_separation(rows, store, directions)
        with told("compared with itself"):
            compare_runs(folder, folder)
        with told("pictures and animation"):
            good = store.count("good_prompts")
            save_views(folder, "pca", views, good)
            indices = range(options.layers)
            write_plots(views, good, indices, "random", "pca", folder.plots, True, Work())
        size = folder.residuals.stat().st_size / 1e6
    # Kilobytes, on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{'together':40}{time.perf_counter() - started - made:8.1f} s")
    print(f"most memory {peak:.2f} GB, residuals on disk {size:,.0f} MB")


@contextmanager
def told(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:40}{time.perf_counter() - start:8.1f} s", flush=True)


if __name__ == "__main__":
    main()
