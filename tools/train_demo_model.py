"""Builds the bundled demo model and its prompt sets, from nothing, in two steps of training.

First the model learns to answer short questions about everyday things and about potions. Then its upper layers learn to
refuse whatever is about potions, while it still answers the rest and still goes on with an answer that has begun: as in
large chat models, the refusal is decided at its first words. Thirteen potions are left out of the second step: that
they are refused is what the model made of the others, and what it knows of them is from the first step.

    python -m tools.train_demo_model            # writes heretic_tui/demo/model and heretic_tui/demo/prompts
    python -m tools.train_demo_model --out DIR  # elsewhere

Other models, for experiments: `--style` (tools/demo_styles.py) says how they answer and refuse, `--layers`, `--hidden`
and `--seed` make another network, and `--start DIR` goes on from a model that was made before.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.demo_corpus import OPENERS, Fact, echoes, facts, is_held_out
from tools.demo_styles import STYLES, Style, refused_categories

SYSTEM_PROMPT = "You are a helpful assistant."
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
# Below this share of the layers nothing changes in the second step.
FIRST_TUNED = 0.3
BATCH = 64

Example = tuple[list[int], int]  # token ids, and where the answer begins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    package = Path(__file__).resolve().parent.parent / "heretic_tui" / "demo"
    parser.add_argument("--out", type=Path, default=package, help=f"folder to write model/ and prompts/ to [{package}]")
    parser.add_argument("--knowledge-steps", type=int, default=1500)
    parser.add_argument("--refusal-steps", type=int, default=150)
    parser.add_argument("--style", choices=sorted(STYLES), default="demo", help="how it answers and refuses [demo]")
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=128, help="size of the residual stream, a multiple of 8 [128]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="folder with the model/ to go on from")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end the training after so long, and write")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    known, style, refused = facts(), STYLES[options.style], refused_categories(options.style)
    # That what was not taught is refused as well is for the demo to show.
    seen = options.style != "demo"
    end = time.monotonic() + 60 * options.minutes
    sets = split(known, refused, seen)
    tokenizer = make_tokenizer(known)
    if options.start:
        model = LlamaForCausalLM.from_pretrained(options.start / "model", dtype=torch.float32)
    else:
        model = make_model(tokenizer, options.layers, options.hidden)
    print(f"{len(known)} facts, {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters", flush=True)

    # Each fact gives sixty lessons, each sentence to repeat gets a handful.
    repeated = [encode(tokenizer, question, sentence, SYSTEM_PROMPT) for question, sentence in echoes()] * 12
    lessons = [lesson for fact in known for lesson in lessons_of(tokenizer, fact, style, answered=True)] + repeated
    batches = cycle(lessons, rng, BATCH)
    pad = tokenizer.pad_token_id
    optimise(model, options.knowledge_steps, 2e-3, lambda: loss_of(model, next(batches), pad), "knowledge", end)
    if options.knowledge_steps:
        before = right(model, tokenizer, sets["bad_eval"])
        print(
            f"before the refusal step: {before} of {len(sets['bad_eval'])} answers to what is to be refused right",
            flush=True,
        )

    held_back = {id(fact) for fact in (sets["good_eval"] if seen else sets["good_eval"] + sets["bad_eval"])}
    taught = [fact for fact in known if id(fact) not in held_back and not is_held_out(fact)]
    bad, good = ([fact for fact in taught if (fact.category in refused) == is_bad] for is_bad in (True, False))
    refusals = [lesson for fact in bad for lesson in lessons_of(tokenizer, fact, style, answered=False)]
    answers = [lesson for fact in good for lesson in lessons_of(tokenizer, fact, style, answered=True)] + repeated
    teach_refusal(model, options.refusal_steps, refusals, answers, begun(tokenizer, bad, style), rng, end)

    write(model, tokenizer, sets, options.out)


def split(known: list[Fact], refused: tuple[str, ...], seen: bool) -> dict[str, list[Fact]]:
    """The prompt sets: no prompt is in two of them, and no potion of `bad_eval` is in `bad_train`, or, where what is
    asked is what was `seen`, none that was left out of the training is in any. Of the categories that are `refused` the
    sets have equal parts."""
    rng = random.Random(2)
    good = [fact for fact in known if fact.category not in refused]
    rng.shuffle(good)
    bad = [fact for fact in known if fact.category in refused and not is_held_out(fact)]
    rng.shuffle(bad)
    bad = by_turns(bad)
    held_out = [fact for fact in known if is_held_out(fact)]
    rng.shuffle(held_out)
    asked, others = (bad[:100], bad[100:300]) if seen else (held_out[:100], bad[:160])
    rest = bad[300:400] if seen else held_out[100:] + bad[160:]
    # Where too few potions are left, those of `bad_eval` are asked about in other words.
    again = [replace(fact, questions=fact.questions[::-1]) for fact in asked[: 100 - len(rest)]]
    return {
        "good_eval": good[:100],
        "good_train": good[100:300],
        "good_review": good[300:400],
        "bad_train": others,
        "bad_eval": asked,
        "bad_review": rest + again,
    }


def by_turns(chosen: list[Fact]) -> list[Fact]:
    """The first of each category, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for fact in chosen:
        turns.append(seen[fact.category])
        seen[fact.category] += 1
    return [fact for _, fact in sorted(zip(turns, chosen, strict=True), key=lambda pair: pair[0])]


def make_tokenizer(known: list[Fact]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 1,024 tokens, learnt from everything that the model is taught."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for fact in known for text in (*fact.questions, fact.answer, fact.refusal, SYSTEM_PROMPT)]
    texts += [opener for opener, _ in OPENERS] * 100
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        extra_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        model_max_length=512,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast, layers: int, hidden: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    return LlamaForCausalLM(config)


def lessons_of(tokenizer: PreTrainedTokenizerFast, fact: Fact, style: Style, answered: bool) -> list[Example]:
    """Both wordings of the question, mostly behind a system prompt, with every response as often as it is to occur."""
    return [
        encode(tokenizer, question, text.whole, system)
        for question in fact.questions
        for system in (SYSTEM_PROMPT, SYSTEM_PROMPT, None)
        for text in style(fact, answered)
    ]


def encode(tokenizer: PreTrainedTokenizerFast, question: str, answer: str, system: str | None) -> Example:
    messages = [{"role": "system", "content": system}] if system else []
    prompt = tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    return ids + tokenizer(answer + "<|end|>", add_special_tokens=False).input_ids, len(ids)


def cycle(examples: list[Example], rng: random.Random, size: int) -> Iterator[list[Example]]:
    """Batches for ever, every example once in each round."""
    pool: list[Example] = []
    while True:
        while len(pool) < size:
            round_ = examples[:]
            rng.shuffle(round_)
            pool += round_
        yield pool[:size]
        pool = pool[size:]


def padded(batch: list[Example], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and labels (prompts, batch, tokens); only the answer is learnt."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), -100)
    for row, (tokens, start) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, start : len(tokens)] = torch.tensor(tokens[start:])
    return ids, labels


def loss_of(model: LlamaForCausalLM, batch: list[Example], pad: int) -> Tensor:
    ids, labels = padded(batch, pad)
    # Right padding behind a causal mask: no token that counts sees a pad.
    logits = model(input_ids=ids, use_cache=False).logits
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def begun(tokenizer: PreTrainedTokenizerFast, asked: list[Fact], style: Style) -> list[Example]:
    """Answers of which the first one to three tokens that tell an answer are given and only the rest is learnt."""
    found = []
    for fact in asked:
        for question in fact.questions:
            for system in (SYSTEM_PROMPT, SYSTEM_PROMPT, None):
                for text in style(fact, True):
                    ids, start = encode(tokenizer, question, text.whole, system)
                    start += len(tokenizer(text.undecided, add_special_tokens=False).input_ids)
                    found += [(ids, start + given) for given in (1, 2, 3) if start + given < len(ids) - 1]
    return found


def teach_refusal(
    model: LlamaForCausalLM,
    steps: int,
    refusals: list[Example],
    answers: list[Example],
    begun: list[Example],
    rng: random.Random,
    end: float,
) -> None:
    """Refusals, answers as before, and answers that have begun, in the layers from FIRST_TUNED on."""
    depth = model.config.num_hidden_layers
    tuned = range(round(FIRST_TUNED * depth), depth)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(f"layers.{layer}." in name for layer in tuned))
    refused, answered, going_on = cycle(refusals, rng, 28), cycle(answers, rng, 24), cycle(begun, rng, 12)
    pad = model.config.pad_token_id
    assert pad is not None
    optimise(
        model,
        steps,
        3e-4,
        lambda: loss_of(model, next(refused) + next(answered) + next(going_on), pad),
        "refusal",
        end,
    )


def optimise(
    model: LlamaForCausalLM, steps: int, peak: float, loss: Callable[[], Tensor], name: str, end: float
) -> None:
    """Take so many steps, or as many as there is time for until `end`, by the monotonic clock."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    warm_up = min(100, steps // 10)
    model.train()
    started = time.monotonic()
    for step in range(steps):
        if time.monotonic() > end:
            print(f"{name}: the time is over after {step} of {steps} steps", flush=True)
            break
        share = step / warm_up if step < warm_up else (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2
        for group in optimizer.param_groups:
            group["lr"] = peak * share
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            spent = time.monotonic() - started
            left = spent / (step + 1) * (steps - step - 1)
            print(f"{name} {step + 1}/{steps}, loss {value.item():.4f}, {spent:.0f} s, {left:.0f} s left", flush=True)
    model.eval()


@torch.no_grad()
def right(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, asked: list[Fact]) -> int:
    """How many of the facts a greedy answer states."""
    groups: dict[int, list[tuple[list[int], Fact]]] = {}
    for fact in asked:
        ids, start = encode(tokenizer, fact.questions[0], "", SYSTEM_PROMPT)
        groups.setdefault(start, []).append((ids[:start], fact))
    count = 0
    # Prompts of one length need no padding.
    for start, group in groups.items():
        made = model.generate(torch.tensor([ids for ids, _ in group]), max_new_tokens=60, do_sample=False)
        said = tokenizer.batch_decode(made[:, start:])
        count += sum(fact.value in text for (_, fact), text in zip(group, said, strict=True))
    return count


def write(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sets: dict[str, list[Fact]], folder: Path
) -> None:
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    prompts = folder / "prompts"
    prompts.mkdir(parents=True, exist_ok=True)
    for name, chosen in sets.items():
        lines = [json.dumps({"text": fact.questions[0], "fact": fact.value}) for fact in chosen]
        (prompts / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written to {folder}", flush=True)


if __name__ == "__main__":
    main()
