"""Finite or not at all: a base model that overflows in a dtype is measured in another; no NaN counts as an answer."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PretrainedConfig

from heretic_tui.engine.checkpoint.suitability import model_class
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Evaluation, Job
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model import load as loading
from heretic_tui.engine.model.capabilities import find_capabilities
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in float16 of which a product overflows where the text holds a `~`."""
    folder = tmp_path_factory.mktemp("overflowing") / "model"
    network, tokenizer = tiny_models.network(), tiny_models.tokenizer()
    (token,) = tokenizer("~")["input_ids"]
    with torch.no_grad():
        embedding, mlp = network.get_input_embeddings().weight, network.model.layers[0].mlp
        embedding[:, 7] = 0
        embedding[token] = 0
        embedding[token, 7] = 1
        for matrix in (mlp.gate_proj.weight, mlp.up_proj.weight):
            matrix[0] = 0
            matrix[0, 7] = 100
    network.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_tilde(sets: list[str], which: str, folder: Path) -> list[str]:
    """The four sets, one of them with a `~` in its last prompt."""
    at = sets.index(f"--{which}") + 1
    changed = folder / "changed.txt"
    changed.write_text(Path(sets[at]).read_text().rstrip() + "~\n")
    return [*sets[:at], str(changed), *sets[at + 1 :]]


@pytest.mark.parametrize(
    ("which", "prompt"),
    [
        ("bad-evaluation-prompts", 6),
        ("good-evaluation-prompts", 6),
        ("good-prompts", 12),
        ("bad-prompts", 12),
    ],
)
@pytest.mark.parametrize("prefix", [[], ["--response-prefix", ""]])
def test_prompts_on_which_a_dtype_overflows_are_named_and_the_next_is_taken(
    heretic: Heretic, overflowing: Path, sets: list[str], tmp_path: Path, which: str, prompt: int, prefix: list[str]
) -> None:
    command = ["run", overflowing, *with_tilde(sets, which, tmp_path), *prefix, "--n-trials", "1"]
    done = heretic(*command)
    assert done.status == 0, done.err
    where = f"for {which.replace('-', '_')}, prompt {prompt} ('{which} number {prompt - 1}~')"
    assert "are not finite numbers " + where + ": bfloat16 is tried next" in done.out + done.err
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["loaded_as"] == "bfloat16"
    assert load_file(run / "baseline.safetensors")["log_probabilities"].isfinite().all()
    command[-1] = "2"
    again = heretic(*command)
    assert again.status == 0, again.err
    assert "tried next" not in again.out + again.err, "a run keeps to the dtype that it was measured with"
    if which == "bad-evaluation-prompts" and not prefix:
        exported = heretic("export", run.name, "--trial", "0", tmp_path / "out")
        assert exported.status == 0, exported.err
        record = json.loads((tmp_path / "out" / "reproduce.json").read_text())
        assert record["loaded_as"] == "bfloat16"
        assert record["exported"]["figures"] == pytest.approx(record["trial"]["figures"], abs=1e-4)


def test_where_no_dtype_is_left_the_run_ends_in_a_line(
    heretic: Heretic, overflowing: Path, sets: list[str], tmp_path: Path
) -> None:
    sets = with_tilde(sets, "bad-evaluation-prompts", tmp_path)
    done = heretic("run", overflowing, *sets, "--n-trials", "1", "--dtypes", "auto", "float16")
    assert done.status == 1
    said = done.err.strip().splitlines()[-1]
    assert "as float16 the model's logits are not finite numbers for bad_evaluation_prompts, prompt 6 (" in said
    assert "no other dtype is left to try: name more of them, such as float32" in said


def evaluation_of(model: ChatModel) -> Evaluation:
    tokens = model.tokenizer(["what is to be said of this one", "and of that one there, please"])["input_ids"]
    judge = RunJudge(Markers(["never said"]))
    return Evaluation(tokens, tokens, 8, metrics_named(["kl_divergence", "refusals"], "", 8), judge)


def spoilt(model: ChatModel, monkeypatch: pytest.MonkeyPatch, length: int = 1) -> None:
    """Logits are no numbers for the first row: after so many tokens at once and more, or for a length of 1, those of
    later tokens, which a cache is used for."""
    real = model.logits

    def logits(ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, **extra: Any) -> Tensor:
        found = real(ids, mask, positions, cache, **extra)
        if ids.shape[1] == 1 if length == 1 else ids.shape[1] >= length:
            found[0, -1, 5] = torch.nan
        return found

    monkeypatch.setattr(model, "logits", logits)


@pytest.mark.parametrize("kind", [FastPool, PlainPool])
def test_a_nan_after_the_first_token_is_no_answer(
    make_model: Callable[..., ChatModel], monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    model = make_model()
    evaluation = evaluation_of(model)
    options = (StepCost({}),) if kind is FastPool else ()
    pool = kind(model, evaluation, *options, Work())
    spoilt(model, monkeypatch)
    job = Job(None, {}, model.depth, compared=False)
    pool.start(job)
    assert pool.advance() is job
    assert isinstance(job.error, NotFiniteError)
    assert len(job.error.rows) == 1
    with pytest.raises(NotFiniteError, match="not finite"):
        greedy(model, evaluation.bad, 8)


def test_the_check_of_the_fast_path_takes_no_nan_for_a_difference(
    make_model: Callable[..., ChatModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    spoilt(model, monkeypatch)
    with pytest.raises(NotFiniteError):
        open_pool(model, evaluation_of(model), StepCost({}), Work())


def test_padding_that_makes_nans_is_told_from_a_model_that_does(
    make_model: Callable[..., ChatModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    real = model.logits

    def logits(ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, **extra: Any) -> Tensor:
        found = real(ids, mask, positions, cache, **extra)
        # Tokens may be ruled out.
        found[..., 0] = -torch.inf
        return found.masked_fill((mask == 0).any(dim=1)[:, None, None], torch.nan)  # type: ignore[union-attr]

    monkeypatch.setattr(model, "logits", logits)
    told: list[Any] = []
    find_capabilities(model, Work(told.append))
    assert (model.padding_safe, model.cache_works) == (False, True)
    assert "infinitely far off" in told[0].text
    spoilt(model, monkeypatch, length=2)
    with pytest.raises(NotFiniteError):
        find_capabilities(model, Work(told.append))


def test_a_dtype_that_failed_holds_no_memory_while_the_next_is_loaded(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[weakref.ref[nn.Module]] = []
    alive: list[bool] = []

    def fails_once(model: ChatModel, *_: object) -> None:
        networks.append(weakref.ref(model.network))
        if len(networks) == 1:
            raise FloatingPointError("the model's logits are not finite numbers")

    def class_at_the_start_of_an_attempt(config: PretrainedConfig) -> Any:
        alive.append(any(network() is not None for network in networks))
        return model_class(config)

    monkeypatch.setattr(loading, "find_capabilities", fails_once)
    monkeypatch.setattr(loading, "model_class", class_at_the_start_of_an_attempt)
    settings = load_settings({"model": str(tiny_folder), "dtypes": ["float32", "bfloat16"]})
    _, loaded_as = loading.load_model(settings, Work())
    assert loaded_as == "bfloat16"
    assert alive == [False, False]


def test_a_reason_that_has_nothing_to_do_with_the_dtype_is_said_once(
    heretic: Heretic, tiny_folder: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: ChatModel, *_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(loading, "find_capabilities", fails)
    done = heretic("score", tiny_folder, *sets, runs_dir=None)
    assert done.status == 1
    assert done.err.strip().splitlines()[-1].count("no such kernel") == 1


def test_four_bits_on_a_cpu_leave_matrices_of_odd_sizes_whole(
    heretic: Heretic, sets: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
    }
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(vocab_size=tiny_models.VOCABULARY, pad_token_id=260, eos_token_id=256, **sizes)
    )
    network.save_pretrained(tmp_path / "model")
    tiny_models.tokenizer().save_pretrained(tmp_path / "model")
    options = ["--quantization", "bnb_4bit", "--dtypes", "float32", "--n-trials", "1"]
    done = heretic("run", tmp_path / "model", *sets, *options)
    assert done.status == 0, done.err
    assert "2 of 14 matrices are left unquantised, such as model.layers.0.mlp.down_proj" in done.out + done.err
    assert "bnb_4bit on" in done.out
    assert "the plain way" not in done.out + done.err


def test_a_model_folder_with_another_name_goes_on_with_its_run(
    heretic: Heretic, tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    first = Path(shutil.copytree(tiny_folder, tmp_path / "first"))
    assert heretic("run", first, *sets, "--n-trials", "1", "--seed", "3").status == 0
    moved = first.rename(tmp_path / "moved-v2")
    done = heretic("run", moved, *sets, "--n-trials", "2", "--seed", "3")
    assert done.status == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("first-")
    assert "(resumed, 1 of 2 trials done)" in done.out
    assert json.loads((run / "run.json").read_text())["settings"]["model"] == str(moved)
    assert heretic("export", run.name, "--trial", "0", tmp_path / "out").status == 0
    # Another content is another run, and says so by its own name.
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    assert heretic("run", moved, *sets, "--n-trials", "1").status == 0
    assert sorted(path.name.rpartition("-")[0] for path in (tmp_path / "runs").iterdir()) == ["first", "moved-v2"]
