"""Seconds to switch a trial on a model of fused experts, against a dense one of as many parameters, by the edit's rank.

    python -m benchmarks.trial_switch [--hidden 1024] [--experts 64] [--layers 4] [--ranks 1 2 4 8]

Random weights; what is timed is making a trial's edits, for directions that occur for the first time and for such as
have occurred, attaching them, and one forward pass of a batch with and without them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3MoeConfig, Qwen3MoeForCausalLM

from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.parameters import Kernel, Parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--width", type=int, default=384, help="inner width of an expert")
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8], help="directions of a layer")
    options = parser.parse_args()
    common = {
        "hidden_size": options.hidden, "num_hidden_layers": options.layers, "num_attention_heads": 16,
        "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 1000,
    }  # fmt: skip
    experts = Qwen3MoeConfig(
        moe_intermediate_size=options.width, num_experts=options.experts, num_experts_per_tok=8, **common
    )
    dense = LlamaConfig(intermediate_size=options.width * options.experts, **common)
    print(
        f"{'':12} {'parameters':>12} {'rank':>5} {'edits, new':>11} {'edits, known':>13} {'forward':>9} {'edited':>9}"
    )
    networks: list[tuple[str, PreTrainedModel]] = [
        ("experts", Qwen3MoeForCausalLM(experts)),
        ("dense", LlamaForCausalLM(dense)),
    ]
    for name, network in networks:
        network.eval().requires_grad_(False)
        size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        for rank in options.ranks:
            new, known, forward, edited = measure(network, rank)
            print(f"{name:12} {size:10.0f} M {rank:5} {new:9.3f} s {known:11.3f} s {forward:7.3f} s {edited:7.3f} s")
        del network


def measure(network: torch.nn.Module, rank: int) -> list[float]:
    """Seconds to make the edits of a trial with new directions and with known ones, of a pass without and with them."""
    anatomy = find_anatomy(network)
    depth, width = len(anatomy.layers), anatomy.writers[0].shape[-2]
    directions = torch.linalg.qr(torch.randn(depth + 1, width, rank)).Q.mT
    bank = EditBank(anatomy.writers, directions, edit_method("norm_preserving"), 1 << 33)
    kernel = Kernel(1.0, depth / 2, 0.5, float(depth))
    # Between two layers.
    trial = Parameters(depth / 2 - 0.5, dict.fromkeys(anatomy.components, kernel))
    ids = torch.randint(1000, (16, 32))

    def forward(edits: dict[str, Edit] | None) -> Callable[[], object]:
        def run() -> None:
            with torch.inference_mode(), attached(anatomy.writers, edits) if edits else nullcontext():
                network(input_ids=ids, use_cache=False)

        return run

    new = seconds(lambda: bank.edits(trial))
    edits = bank.edits(trial)
    known = min(seconds(lambda: bank.edits(trial)) for _ in range(3))
    forward(None)()
    return [new, known, *(min(seconds(forward(given)) for _ in range(3)) for given in (None, edits))]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
