"""Residuals on the disk, in half precision and layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals, stored_bytes
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder


def test_residuals_survive_half_precision_on_disk_layer_by_layer(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    # Streams that float16 cannot hold, and embeddings that it would flatten to zero.
    scales = torch.tensor([1e-9, 1.0, 3e6])[None, :, None]
    sets = {name: torch.randn(6, 3, 4, generator=generator) * scales for name in ("good_prompts", "bad_prompts")}
    folder = RunFolder(tmp_path)
    path = folder.residuals
    ResidualStore.of(sets).save(folder)
    store = open_residuals(folder)
    assert (store.depth, store.count("bad_prompts"), sorted(store.names)) == (2, 6, ["bad_prompts", "good_prompts"])
    for name, residuals in sets.items():
        for index in range(3):
            top = float(residuals[:, index].abs().max())
            torch.testing.assert_close(store.layer(name, index), residuals[:, index], rtol=1e-3, atol=1e-3 * top)
    assert path.stat().st_size == pytest.approx(stored_bytes(12, 2, 4), abs=600), "what was said beforehand"
    path.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="damaged"):
        open_residuals(folder)
