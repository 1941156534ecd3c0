"""Peak resident memory and seconds of writing merged weights: file by file, and from the whole model in memory.

A random checkpoint of the shape of a 0.5B model (bfloat16, 1 GB) is made in a temporary folder. Each way has a process
of its own. What it holds before it begins (libraries, the interpreter) is taken off.

python -m benchmarks.merge_memory
python -m benchmarks.merge_memory --layers 8 --experts 16       fewer layers; experts, one tensor each in the files
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

_WAYS = ("streamed", "whole")


def make_checkpoint(folder: Path, layers: int, experts: int) -> None:
    """A random model with norms, in files of at most 200 MB."""
    import torch
    from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

    size: dict[str, Any] = {
        "hidden_size": 896,
        "num_hidden_layers": layers,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    }
    torch.set_default_dtype(torch.bfloat16)
    if experts:
        config = Qwen3MoeConfig(
            **size, vocab_size=151_936, moe_intermediate_size=1216, num_experts=experts, num_experts_per_tok=2
        )
        network: PreTrainedModel = Qwen3MoeForCausalLM(config)
    else:
        network = Qwen2ForCausalLM(
            Qwen2Config(**size, vocab_size=151_936, intermediate_size=4864, tie_word_embeddings=True)
        )
    network.save_pretrained(folder, max_shard_size="200MB")


def write(way: str, source: Path, out: Path) -> dict[str, float]:
    """Write an edit of every matrix in one way. Returns bytes, the most beyond what was held before, and seconds."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from heretic_tui.engine.anatomy.writers import find_anatomy, stream_width
    from heretic_tui.engine.checkpoint.misfit import build_empty
    from heretic_tui.engine.directions.by_method import MethodDirections
    from heretic_tui.engine.directions.subspaces import of_layers
    from heretic_tui.engine.edits.bank import EditBank
    from heretic_tui.engine.edits.methods.base import edit_method
    from heretic_tui.engine.edits.rounds import RoundEdit
    from heretic_tui.engine.export.merged import edit_matrix
    from heretic_tui.engine.export.streamed import plan_merge
    from heretic_tui.parameters import Kernel, Parameters
    from heretic_tui.work import Work

    # What is imported late is no part of it.
    for name in ("transformers.conversion_mapping", "transformers.core_model_loading", "transformers.integrations.moe"):
        importlib.import_module(name)

    method = edit_method("norm_preserving")
    network = build_empty(AutoConfig.from_pretrained(source), trust_remote_code=False)
    anatomy, width = find_anatomy(network), stream_width(network)
    depth = len(anatomy.layers)
    directions = torch.nn.functional.normalize(torch.randn(depth + 1, width), dim=-1)
    parameters = Parameters(None, {name: Kernel(1.0, 0, 0.8, depth) for name in anatomy.components})
    out.mkdir()
    with _Peak() as peak:
        if way == "streamed":
            edit = RoundEdit(parameters, MethodDirections(of_layers(directions)), method)
            plan_merge(source, network, anatomy.writers, [edit]).write(out, Work())
        else:
            whole = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
            writers = find_anatomy(whole).writers
            edits = EditBank(writers, directions, method, 0).edits(parameters)
            with torch.no_grad():
                for writer in writers:
                    edit_matrix(writer, edits[writer.name])
            whole.save_pretrained(out, max_shard_size="5GB")
    return {"bytes": peak.bytes, "seconds": peak.seconds}


class _Peak:
    """Looks at this process's memory a hundred times a second within the block."""

    def __enter__(self) -> _Peak:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._before, self._start = self._process.memory_info().rss, time.perf_counter()
        self.bytes, self.seconds = 0, 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self._ended.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--experts", type=int, default=0, help="of each layer; 0: a dense model")
    parser.add_argument("--step", nargs=3, metavar=("WAY", "SOURCE", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        way, source, out = options.step
        if way == "make":
            make_checkpoint(Path(source), options.layers, options.experts)
        else:
            print(json.dumps(write(way, Path(source), Path(out))))
        return
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"

        def step(way: str) -> str:
            command = [sys.executable, "-m", "benchmarks.merge_memory", "--step", way, str(source), f"{name}/{way}"]
            shape = ["--layers", str(options.layers), "--experts", str(options.experts)]
            return subprocess.run([*command, *shape], check=True, capture_output=True, text=True).stdout

        step("make")
        weights = sum(path.stat().st_size for path in source.glob("*.safetensors"))
        print(f"{weights / 1e9:.2f} GB in {len(list(source.glob('*.safetensors')))} files")
        found = {way: json.loads(step(way).splitlines()[-1]) for way in _WAYS}
        for way, each in found.items():
            print(f"{way:10} {each['bytes'] / 1e9:6.2f} GB beyond the libraries   {each['seconds']:6.1f} s")
        print(f"ratio      {found['whole']['bytes'] / found['streamed']['bytes']:6.1f}")


if __name__ == "__main__":
    main()
