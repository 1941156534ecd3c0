"""Measures over how many directions the refusal of a model of the style `spread` is spread: how alike the directions of
what is refused are, kind by kind, and what is still refused of each when one of them is taken out.

python -m tools.train_demo_model --style spread ... --out DIR && python -m tools.measure_spread DIR
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.nn.functional import cosine_similarity

from heretic_tui import Kernel, Parameters, Settings, Workbench, find_directions, load_settings
from heretic_tui.engine.metrics.judges.markers import Markers
from tools.demo_corpus import facts
from tools.demo_styles import refused_categories

# Prompts of each kind that are asked.
ASKED = 25


def by_kind(folder: Path, name: str) -> dict[str, list[str]]:
    """The prompts of a set by the kind of what they ask about."""
    kinds = {fact.questions[0]: fact.category for fact in facts()}
    found: dict[str, list[str]] = {kind: [] for kind in refused_categories("spread")}
    for text in prompts(folder, name):
        found[kinds[text]].append(text)
    return found


def prompts(folder: Path, name: str) -> list[str]:
    lines = (folder / "prompts" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def settings_of(folder: Path, bad: Path) -> Settings:
    """Settings for directions from these harmful prompts."""
    sets = {"good_prompts": "good_train", "good_evaluation_prompts": "good_eval", "bad_evaluation_prompts": "bad_eval"}
    given: dict[str, object] = {
        name: {"dataset": str(folder / "prompts" / f"{file}.jsonl"), "column": "text"} for name, file in sets.items()
    }
    model = {"model": str(folder / "model"), "dtypes": ["float32"], "batch_size": 100}
    return load_settings(environment=False, base={**model, **given, "bad_prompts": {"dataset": str(bad)}})


def everywhere(bench: Workbench) -> Parameters:
    """The edit that takes each layer's own direction out of all its matrices, at weight 1."""
    depth = bench.model.depth
    kernel = Kernel(1.0, depth / 2, 1.0, depth)
    return Parameters(None, dict.fromkeys(bench.model.anatomy.components, kernel))


def refused(bench: Workbench, edit: Parameters | None, asked: Sequence[str], judge: Markers) -> int:
    with bench.edited(edit) as model:
        return sum(judge.verdict(model.answer(text)).refused for text in asked)


def main() -> None:
    folder = Path(sys.argv[1])
    taught, asked = by_kind(folder, "bad_train"), by_kind(folder, "bad_eval")
    vectors: dict[str, Tensor] = {}
    left: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind, texts in {"all": [text for each in taught.values() for text in each], **taught}.items():
            file = Path(name) / f"{kind}.txt"
            file.write_text("\n".join(texts) + "\n", encoding="utf-8")
            settings = settings_of(folder, file)
            bench = Workbench.open(settings, Path(name) / kind)
            judge = Markers(settings.refusal_markers)
            if not left:
                left["nothing"] = [refused(bench, None, each[:ASKED], judge) for each in asked.values()]
            edit = everywhere(bench)
            left[kind] = [refused(bench, edit, each[:ASKED], judge) for each in asked.values()]
            vectors[kind] = find_directions(bench.model, prompts(folder, "good_train"), texts, settings)[1:, 0]
    kinds = list(taught)
    print(f"cosines by layer, of directions of {', '.join(kinds)}, two by two:")
    for layer in range(len(vectors["all"])):
        pairs = [(one, other) for place, one in enumerate(kinds) for other in kinds[place + 1 :]]
        cosines = [cosine_similarity(vectors[one][layer], vectors[other][layer], dim=0).item() for one, other in pairs]
        print(f"{layer:4} " + " ".join(f"{value:6.2f}" for value in cosines))
    print(f"still refused of {ASKED} about {', '.join(kinds)}, when this direction is taken out of every matrix:")
    for kind, counts in left.items():
        print(f"  {kind:12}" + " ".join(f"{count:4}" for count in counts))


if __name__ == "__main__":
    main()
