"""Edits with the directions of several methods: those that a trial names, in the layers that a mask leaves, and read
along another vector than they are written along."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.edits.attach import attached, stacked
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.banks import EditBanks
from heretic_tui.engine.edits.edit import row_norms
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.parameters import Kernel, Parameters
from tests.support import families, tiny_models
from tests.support.definitions import METHODS

KERNELS = dict.fromkeys(("attn.o_proj", "mlp.down_proj"), Kernel(1.2, 2.0, 0.4, 9.0))


def units(*shape: int) -> torch.Tensor:
    found: torch.Tensor = torch.linalg.qr(torch.randn(*shape).mT).Q.mT
    return found


def banks() -> tuple[EditBanks, dict[str, MethodDirections]]:
    writers = find_anatomy(tiny_models.network()).writers
    found = {
        "one": MethodDirections(units(5, 1, 32)),
        "several": MethodDirections(units(5, 3, 32), frozenset({1, 3})),
    }
    return EditBanks(writers, found, edit_method("subtract"), 1 << 30), found


def test_a_trial_is_edited_with_the_method_that_it_names_and_else_with_the_first() -> None:
    made, found = banks()
    writers = find_anatomy(tiny_models.network()).writers
    for name in (None, "one", "several"):
        vectors = found[name or "one"].vectors
        edits = made.edits(Parameters(None, KERNELS, name))
        expected = EditBank(writers, vectors, edit_method("subtract"), 0).edits(Parameters(None, KERNELS))
        layers = {writer.layer for writer in writers if writer.name in edits}
        assert layers == ({1, 3} if name == "several" else {0, 1, 2, 3})
        for key, edit in edits.items():
            torch.testing.assert_close(edit.a, expected[key].a)
            torch.testing.assert_close(edit.b, expected[key].b)
    unmasked = made.edits(Parameters(None, KERNELS, "several"), masked=False)
    assert {writer.layer for writer in writers if writer.name in unmasked} == {0, 1, 2, 3}
    with pytest.raises(UsageError, match=r"has no directions of the method 'two' \(it has one, several\)"):
        made.edits(Parameters(None, KERNELS, "two"))


def test_rows_of_trials_with_one_direction_and_with_several_share_a_batch() -> None:
    network = tiny_models.network()
    writers = find_anatomy(network).writers
    made, _ = banks()
    each = [made.edits(Parameters(None, KERNELS, name)) for name in ("several", "one")]
    ids = torch.randint(0, 250, (3, 7))
    with attached(writers, stacked(writers, each), torch.tensor([0, 1, 0])):
        together = network(ids).logits
    for row, edits in enumerate([each[0], each[1], each[0]]):
        with attached(writers, edits):
            alone = network(ids[row : row + 1]).logits
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("index", "sign"), [(None, 1), (1.4, 1), (1.4, -1)])
def test_what_is_read_along_one_vector_is_taken_out_or_added_along_another(
    name: str, index: float | None, sign: int
) -> None:
    kernels = {
        each: replace(kernel, max_weight=sign * kernel.max_weight, min_weight=sign * kernel.min_weight)
        for each, kernel in KERNELS.items()
    }
    writers = find_anatomy(tiny_models.network()).writers
    write, read = nn.functional.normalize(torch.randn(5, 32), dim=-1), torch.randn(5, 32)
    read = read / (read * write).sum(dim=-1, keepdim=True)
    edits = EditBank(writers, write, edit_method(name), 1 << 30, read).edits(Parameters(index, kernels))
    for writer in writers:
        weight, strength = writer.weight().double(), kernels[writer.component].strength(writer.layer)
        v, u = write[writer.layer + 1].double(), read[writer.layer + 1].double()
        if index is not None:
            share = index % 1
            v, u = (torch.lerp(each[2].double(), each[3].double(), share) for each in (write, read))
            v = v / v.norm()
        u = u / (u @ v)
        norms = torch.ones_like(weight[:, 0]) if name == "subtract" else row_norms(weight)
        unit = weight / norms[:, None]
        expected = unit - strength * torch.outer(v, u @ unit)
        if name == "norm_preserving":
            expected = nn.functional.normalize(expected, dim=-1)
        torch.testing.assert_close(
            edits[writer.name].of(weight.float()).double(), norms[:, None] * expected, rtol=1e-4, atol=1e-4
        )


def test_behind_a_norm_nothing_is_left_of_what_is_read() -> None:
    network = families.build("gemma2")
    writers = examine(network).writers
    write = nn.functional.normalize(torch.randn(3, families.HIDDEN), dim=-1)
    read = write + 0.3 * torch.randn(3, families.HIDDEN)
    kernels = dict.fromkeys(KERNELS, Kernel(1.0, 1.0, 1.0, 9.0))
    edits = EditBank(writers, write, edit_method("subtract"), 0, read).edits(Parameters(None, kernels))
    for writer in writers:
        assert writer.post_norm_gain is not None
        seen = writer.post_norm_gain * read[writer.layer + 1]
        left = edits[writer.name].of(writer.weight()).T @ seen
        assert float(left.norm()) < 1e-4 * float((writer.weight().T @ seen).norm())


def test_a_mix_that_reads_nothing_of_what_it_writes_is_no_edit() -> None:
    writers = find_anatomy(tiny_models.network()).writers
    write = torch.zeros(5, 32)
    write[:, 0] = 1.0
    write[3] *= -1
    read = write.clone()
    read[2, 1], read[3] = 5.0, torch.tensor([-1.0, 0.0] + [0.0] * 30)
    write[3, 0], write[3, 2], read[3, 2] = 0.0, 1.0, 1.0
    # Between these two layers: written (1, 0, 1), read (1, 5, 1) and its negative.
    read[2] = torch.tensor([1.0, 5.0, -1.0] + [0.0] * 29)
    read[3] = torch.tensor([-1.0, 0.0, 1.0] + [0.0] * 29)
    bank = EditBank(writers, write, edit_method("subtract"), 0, read)
    with pytest.raises(HereticError, match="has next to nothing of what is written"):
        bank.edits(Parameters(1.5, KERNELS))
