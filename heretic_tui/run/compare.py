"""Two runs' directions side by side: a model and its fine-tune, two prompt sets, before and after an edit."""

from __future__ import annotations

from typing import Any

import numpy as np

from heretic_tui.errors import UsageError, one_line
from heretic_tui.run.folder import RunFolder


def compare_runs(one: RunFolder, other: RunFolder) -> dict[str, Any]:
    """Cosines between the directions of two runs, by residual index.

    Returns:
        `runs` (name and model of each); `same` (whether model, prompts and settings are alike); `layers`: `index`,
        `layer`, `cosine` of the directions, `cosine_difference` of the differences of means that they are made of,
        `length_ratio` |r| of the second run over that of the first, and `nearest`, the layer of the second run whose
        direction is nearest, with `nearest_cosine`; `mean_cosine` and `sentence`. A direction of length zero has
        cosine None.

    Raises:
        UsageError: where a run has no directions yet, or the models' streams differ in width or number of layers.
    """
    a, b = _load(one), _load(other)
    if a["directions"].shape != b["directions"].shape:
        shapes = [f"{run.name}: {s[0] - 1} layers of {s[1]}" for run, s in
                  ((one, a["directions"].shape), (other, b["directions"].shape))]  # fmt: skip
        raise UsageError(f"the runs' residual streams cannot be compared ({'; '.join(shapes)})")
    rows = []
    between = a["directions"].astype(np.float64) @ b["directions"].astype(np.float64).T
    differences = [x["bad_mean"] - x["good_mean"] for x in (a, b)]
    for index in range(len(between)):
        r_a, r_b = (d[index] for d in differences)
        length_a, length_b = float(np.linalg.norm(r_a)), float(np.linalg.norm(r_b))
        known = length_a > 0 and length_b > 0
        nearest = int(np.argmax(np.abs(between[index, 1:]))) + 1
        rows.append(
            {
                "index": index,
                "layer": index - 1 if index else None,
                "cosine": round(float(between[index, index]), 6) if known else None,
                "cosine_difference": round(float(r_a @ r_b / (length_a * length_b)), 6) if known else None,
                "length_ratio": round(length_b / length_a, 6) if known else None,
                "nearest": nearest - 1 if known else None,
                "nearest_cosine": round(float(between[index, nearest]), 6) if known else None,
            }
        )
    records = [run.read_record() for run in (one, other)]
    identities = [record.get("identity", {}) for record in records]
    mean = round(float(np.mean([row["cosine"] for row in rows[1:]])), 6)
    return {
        "runs": [
            {"run": run.name, "model": record.get("model")} for run, record in zip((one, other), records, strict=True)
        ],
        "same": {part: identities[0].get(part) == identities[1].get(part) for part in ("model", "prompts", "settings")},
        "layers": rows,
        "mean_cosine": mean,
        "sentence": _sentence(rows[1:], mean),
    }


def _load(run: RunFolder) -> dict[str, Any]:
    from safetensors.numpy import load_file

    # Damage of the record itself is told as such.
    run.read_record()
    try:
        run.check(run.directions)
        found = load_file(run.directions)
        tensors = {name: found[name] for name in ("directions", "good_mean", "bad_mean")}
        if {tensor.shape for tensor in tensors.values()} != {tensors["directions"].shape}:
            raise ValueError("its tensors do not belong together")
        if len(tensors["directions"].shape) != 2 or len(tensors["directions"]) < 2:
            raise ValueError("it holds no directions of layers")
        return tensors
    except FileNotFoundError as error:
        raise UsageError(
            f"run {run.name} has no directions yet: the same `heretic-tui run` command finds them"
        ) from error
    except Exception as error:
        said = str(error) if isinstance(error, UsageError) else f"{run.directions} is damaged ({one_line(error)})"
        raise UsageError(f"{said}: put back a copy, or run the same command again") from error


def _sentence(layers: list[dict[str, Any]], mean: float) -> str:
    known = [row for row in layers if row["cosine"] is not None]
    best, worst = max(known, key=lambda row: row["cosine"]), min(known, key=lambda row: row["cosine"])
    return (
        f"Cosine of the directions: {mean:.3f} on average over the layers, highest at layer {best['layer']} "
        f"({best['cosine']:.3f}), lowest at layer {worst['layer']} ({worst['cosine']:.3f})."
    )
