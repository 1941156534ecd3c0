"""Large libraries are imported without collecting garbage, and what they made is not gone through later."""

from __future__ import annotations

import gc

import pytest

from heretic_tui.imports import large_imports


@pytest.fixture(autouse=True)
def _thawed() -> object:
    yield
    gc.unfreeze()


def test_no_garbage_is_collected_meanwhile_and_it_is_again_afterwards() -> None:
    assert gc.isenabled()
    with large_imports():
        assert not gc.isenabled()
        kept: list[list[int]] = [[] for _ in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_an_import_that_fails_and_a_block_within_another_leave_it_as_it_was() -> None:
    with pytest.raises(ImportError), large_imports():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with large_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
