"""Several directions of a layer: made orthonormal, turned to each other, and the one that leads."""

from __future__ import annotations

import torch

from heretic_tui.engine.directions.subspaces import aligned, leading, orthonormalising
from tests.support.definitions import bases, orthonormal


def test_columns_are_made_orthonormal_in_their_order() -> None:
    columns = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    straight = columns @ orthonormalising(columns.T @ columns)
    torch.testing.assert_close(straight.T @ straight, torch.eye(4).double(), rtol=0, atol=1e-12)
    q, r = torch.linalg.qr(columns)
    torch.testing.assert_close(straight, q * r.diagonal().sign())
    # What brings nothing new is nothing, and does not spoil the others.
    columns[:, 2] = columns[:, 0] - 2 * columns[:, 1]
    straight = columns @ orthonormalising(columns.T @ columns)
    assert straight[:, 2].abs().max() == 0
    torch.testing.assert_close(straight.T @ straight, torch.diag(torch.tensor([1.0, 1, 0, 1])).double())


def test_a_basis_of_the_same_space_is_turned_onto_the_other() -> None:
    basis = orthonormal(16, 3).T.double()
    turned = orthonormal(3, 3, seed=9).double() @ basis
    torch.testing.assert_close(aligned(turned, basis) @ turned, basis)
    # Spaces that have nothing in common are turned too.
    apart = torch.eye(16).double()
    turn = aligned(apart[:3], apart[3:6])
    torch.testing.assert_close(turn @ turn.T, torch.eye(3).double())


def test_the_leading_direction_is_what_of_the_difference_lies_in_the_space() -> None:
    directions = bases(1, 2, 16)
    inside = 3 * directions[1, 0] - 4 * directions[1, 1]
    outside = orthonormal(16, 3, seed=0)[:, 2]
    outside = outside - directions[1].T @ (directions[1] @ outside)
    found = leading(directions, torch.stack([outside * 0, inside + 5 * outside]))
    torch.testing.assert_close(found[1], inside / 5)
    torch.testing.assert_close(found[0], directions[0, 0], msg="where there is no difference it is the first")
    assert torch.equal(leading(directions[:, :1], torch.zeros(2, 16)), directions[:, 0])
