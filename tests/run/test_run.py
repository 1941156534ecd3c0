"""A run on disk as a program reads it, without torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from heretic_tui import Run
from heretic_tui.errors import UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "version_1" / "model-c4a34d1c"


def test_what_a_run_holds() -> None:
    run = Run(GOLDEN)
    assert (run.name, run.state.n_trials, len(run.state.trials)) == ("model-c4a34d1c", 12, 12)
    best = run.state.front()[0]
    assert (best.number, best.figures["refusals"], round(best.figures["kl_divergence"], 4)) == (11, 0, 0.0068)
    assert run.directions.shape == (11, 1, 128)
    np.testing.assert_allclose(np.linalg.norm(run.directions, axis=-1)[1:], 1, atol=1e-5)
    assert run.geometry is not None
    assert [row.layer for row in run.geometry.layers] == [None, *range(10)]
    assert sum(bool(response.refused) for response in run.responses()) == 100
    assert sum(bool(response.refused) for response in run.responses(best.number)) == 0


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere is no run: there is no run\.json in it"):
        Run(tmp_path / "nowhere")
    folder = shutil.copytree(GOLDEN, tmp_path / "run")
    for name in ("directions.safetensors", "geometry.json", "responses/base.json"):
        (folder / name).unlink()
    run = Run(str(folder))
    with pytest.raises(UsageError, match="has no directions yet"):
        _ = run.directions
    with pytest.raises(UsageError, match="holds no responses of the original model"):
        run.responses()
    assert run.geometry is None
    (folder / "directions.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UsageError, match=r"directions\.safetensors is damaged"):
        _ = Run(folder).directions
