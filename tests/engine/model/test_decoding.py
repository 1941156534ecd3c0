"""Batched greedy decoding and measuring: the same as one prompt at a time, whatever the batch size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from transformers import GenerationConfig

from heretic_tui.commands import Sampling
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.directions.residuals import gather_residuals, last_residuals, winsorize
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.model import chat_model as model_module
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.decoding import greedy, pick, pick_rows
from heretic_tui.work import Work
from tests.support import tiny_models

Make = Callable[..., ChatModel]


def rows(count: int = 12, longest: int = 30) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [torch.randint(0, 250, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_batched_tokens_are_those_of_generate_one_by_one(make_model: Make, kind: str) -> None:
    model = make_model(kind, batch_size=5)
    prompts = rows()
    config = GenerationConfig(max_new_tokens=20, do_sample=False, eos_token_id=256, pad_token_id=260)
    expected = []
    for prompt in prompts:
        out = model.network.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), generation_config=config
        )
        expected.append([t for t in out[0, len(prompt) :].tolist() if t != 256])
    assert greedy(model, prompts, 20) == expected
    assert len({tuple(response) for response in expected}) > 6, "the model must not say the same to everything"


def test_rows_that_end_leave_and_the_others_go_on(make_model: Make) -> None:
    model = make_model(batch_size=12)
    prompts = rows()
    free = greedy(model, prompts, 25)
    # Make a token that occurs in the middle of some responses an end token: they are cut there, the rest untouched.
    stop = free[0][3]
    model.end_tokens = frozenset({256, stop})
    cut = greedy(model, prompts, 25)
    assert cut == [r[: r.index(stop)] if stop in r else r for r in free]
    assert any(len(c) < len(f) for c, f in zip(cut, free, strict=True))


def test_residuals_and_log_probabilities_do_not_depend_on_the_batch_size(make_model: Make) -> None:
    prompts = rows()
    results = []
    for size in (1, 3, 12):
        model = make_model(batch_size=size)
        kept: dict[int, torch.Tensor] = {}

        def keep(batch: Batch, model: ChatModel = model, kept: dict[int, torch.Tensor] = kept) -> None:
            logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
            kept.update(zip(batch.rows, torch.log_softmax(logits, dim=-1), strict=True))

        model.in_batches(prompts, keep)
        base = torch.stack([kept[row] for row in range(len(prompts))])
        results.append((gather_residuals(model, prompts).mean, base))
    for residual, base in results[1:]:
        torch.testing.assert_close(residual, results[0][0], rtol=1e-5, atol=1e-5)
        assert kl_divergence(results[0][1], base).abs().max() < 1e-5


def test_residuals_are_hidden_states_before_the_final_norm(make_model: Make) -> None:
    model = make_model(batch_size=4)
    prompts = rows(4)
    batch = model.batch([0, 1, 2, 3], prompts)
    with torch.inference_mode():
        caught, _ = last_residuals(model, batch)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.network.modules())
    assert caught.shape == (4, 5, 32)
    for row, prompt in enumerate(prompts):
        with torch.inference_mode():
            states = model.network(torch.tensor([prompt]), output_hidden_states=True).hidden_states
            normed = model.network.model.norm(caught[row, -1])
        torch.testing.assert_close(caught[row, 0], states[0][0, -1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(caught[row, 3], states[3][0, -1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(normed, states[-1][0, -1], rtol=1e-4, atol=1e-4)


def test_winsorizing_clamps_each_residual_by_its_own_magnitudes() -> None:
    residuals = torch.arange(1.0, 12.0).repeat(1, 2, 1)
    residuals[0, 0, 10] = -1000
    clamped = winsorize(residuals, 0.9)
    assert clamped[0, 0].abs().max() == 10
    assert clamped[0, 0, 10] == -10
    assert clamped[0, 1, :10].tolist() == residuals[0, 1, :10].tolist()
    assert winsorize(residuals, 1.0) is residuals


def test_kl_divergence_is_that_of_the_definition_and_survives_ruled_out_tokens() -> None:
    p = torch.tensor([[0.5, 0.25, 0.25, 0.0]])
    q = torch.tensor([[0.25, 0.25, 0.5, 0.0]])
    expected = 0.5 * torch.log(torch.tensor(2.0)) + 0.25 * torch.log(torch.tensor(0.5))
    assert kl_divergence(p.log(), q.log()).item() == pytest.approx(expected.item())


def test_out_of_memory_halves_the_batch_and_the_result_is_the_same(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = rows()
    model = make_model(batch_size=12)
    expected = greedy(model, prompts, 8)
    forward = ChatModel.next_token_logits

    def tight(self: ChatModel, ids: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(ids) > 3:
            raise torch.OutOfMemoryError("too many rows")
        return forward(self, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(model_module.ChatModel, "next_token_logits", tight)
    assert greedy(model, prompts, 8) == expected
    assert model.batch_size == 3


def test_abort_is_heard_between_tokens(make_model: Make) -> None:
    model = make_model()
    control = Control()
    control.abort()
    model.work = Work(control=control)
    with pytest.raises(Aborted):
        greedy(model, rows(), 8)


def test_batches_cover_all_rows_longest_first(make_model: Make) -> None:
    model = make_model(batch_size=5)
    seen: list[int] = []

    def work(batch: Batch) -> None:
        lengths = batch.mask.sum(dim=1).tolist()
        assert lengths == sorted(lengths, reverse=True)
        assert batch.mask[:, -1].all(), "padding belongs on the left"
        seen.extend(batch.rows)

    model.in_batches(rows(), work)
    assert sorted(seen) == list(range(12))


def drawn(logits: torch.Tensor, sampling: Sampling, times: int) -> Counter[int]:
    generators = [torch.Generator().manual_seed(0)]
    return Counter(token for _ in range(times) for token in pick_rows(logits[None], sampling, generators))


@pytest.mark.parametrize(
    ("spread", "top_p"),
    [(0.002, 0.95), (0.002, 1.0), (0.02, 0.9), (0.002, 0.01)],
    ids=["flat", "all", "peaked", "few"],
)
def test_tokens_of_a_large_vocabulary_are_drawn_from_the_smallest_set_that_has_the_share(
    spread: float, top_p: float
) -> None:
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(1))
    logits = torch.empty(4000)
    logits[order] = -spread * torch.arange(4000.0)
    likely = torch.softmax(logits.double() / 0.8, dim=-1)
    ranked = likely[order].cumsum(dim=-1)
    kept = order[: 1 + int((ranked < top_p).sum())]
    counts = drawn(logits, Sampling(temperature=0.8, top_p=top_p), 2000)
    # A token may be in or out by rounding.
    assert set(counts) <= {*kept.tolist(), int(order[min(len(kept), 3999)])}
    half = set(kept[: 1 + len(kept) // 2].tolist())
    expected = float(likely[list(half)].sum() / likely[kept].sum())
    assert sum(counts[token] for token in half) / 2000 == pytest.approx(expected, abs=0.05)


def test_a_row_is_drawn_as_if_it_were_alone() -> None:
    # Flat ones, and peaked ones.
    spread = torch.tensor([[0.1], [3.0], [1.0], [9.0], [0.2], [5.0]])
    logits = spread * torch.randn(6, 3000, generator=torch.Generator().manual_seed(2))
    how = Sampling(temperature=1.3, top_p=0.9)

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(6)]

    one, other = generators(), generators()
    for _ in range(20):
        together = pick_rows(logits, how, one)
        assert together == [pick(row, how, each) for row, each in zip(logits, other, strict=True)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_without_finite_logits_are_told(temperature: float) -> None:
    logits = torch.zeros(4, 10)
    logits[1, 3], logits[3, 0] = math.nan, math.inf
    # A token that is ruled out is no error.
    logits[2, 5] = -math.inf
    with pytest.raises(NotFiniteError) as raised:
        pick_rows(logits, Sampling(temperature=temperature), [torch.Generator() for _ in range(4)])
    assert raised.value.rows == (1, 3)
