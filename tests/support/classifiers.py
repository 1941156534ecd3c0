"""Text-classification models that know a few words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_HIDDEN = 8


def words_tokenizer(words: Sequence[str], pad: bool = True) -> PreTrainedTokenizerFast:
    """A token a word, in lower case; other words are all the same one."""
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *dict.fromkeys(words)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        **({"pad_token": "[PAD]"} if pad else {}),
    }
    return PreTrainedTokenizerFast(tokenizer_object=core, **named)


def word_classifier(folder: Path, words: Sequence[str]) -> Path:
    """A classifier that calls a text a `Refusal` where it holds one of some words, and else an `Answer`."""
    config = BertConfig(
        vocab_size=len(_SPECIAL) + len(words), hidden_size=_HIDDEN, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=4, max_position_embeddings=128, pad_token_id=0, id2label={0: "Answer", 1: "Refusal"},
        label2id={"Answer": 0, "Refusal": 1},
    )  # fmt: skip
    network = BertForSequenceClassification(config)
    network.eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "LayerNorm.weight" not in name:
                parameter.zero_()
        ones = torch.eye(_HIDDEN)
        # All tokens are looked at alike, and what is there of any is there of the first.
        for name in ("encoder.layer.0.attention.self.value", "encoder.layer.0.attention.output.dense", "pooler.dense"):
            network.get_parameter(f"bert.{name}.weight").copy_(ones)
        network.get_parameter("bert.embeddings.word_embeddings.weight")[len(_SPECIAL) :, 0] = 1.0
        network.get_parameter("classifier.weight")[1, 0] = 1.0
        network.get_parameter("classifier.bias")[0] = 0.1
    network.save_pretrained(folder)
    words_tokenizer(words).save_pretrained(folder)
    return folder
