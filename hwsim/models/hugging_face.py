"""Transformers by their configuration, the config.json beside their weights: plain JSON.

    {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, ...}  ->

    - {name: embed, op: embedding, k: 4096}
    - repeat: 32
      layers: norm, q k v in one product, rotary, attention, product, add; norm, products, add
    - norm and the product with the vocabulary, of the last token

Shapes follow from the configuration alone. Prefill is a number of tokens (`--input 2048`), decoding
one token with a context (`--input 1 --context 2047`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from hwsim.describe.models import MODELS, ModelReader, Size
from hwsim.describe.network_file import (
    BLOCK,
    MOST_LAYERS,
    Entry,
    InputText,
    LayerText,
    RepeatText,
    WorkloadText,
)
from hwsim.describe.reading import read_text
from hwsim.errors import HwsimError, nearest, printable, shortened

WIDE = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
TOKENS = 2048  # of a prefill where the user states none, at most the model's own
LARGEST = 1 << 31
RESERVES_TWO = ("roberta", "xlm-roberta")
LONGEST_PERIOD = 8  # of blocks that come again and again


@dataclass(frozen=True)
class Config:
    """A configuration with the words of its many dialects.

    Raises HwsimError naming the file and the key that is missing or no whole number.
    """

    path: Path
    values: Mapping[str, Any]

    def number(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """The first of the keys that is there."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, list) and len(set(value)) == 1:
                value = value[0]
            if (
                isinstance(value, bool)
                or not isinstance(value, int)
                or not least <= value < LARGEST
            ):
                raise HwsimError(
                    f"{self.path}: {key}: {shortened(repr(value))}; expected a whole number of at "
                    f"least {least}"
                )
            return value
        if default is None:
            raise HwsimError(
                f"{self.path}: no {' or '.join(keys)}; expected it of a {self.kind} model"
            )
        return default

    @property
    def kind(self) -> str:
        return str(self.values.get("model_type", ""))

    @property
    def heads(self) -> int:
        return self.number("num_attention_heads", "n_head", "n_heads", "num_heads")

    @property
    def width(self) -> int:
        """Features of a token. Raises HwsimError where the heads do not share them evenly."""
        return self.number("hidden_size", "n_embd", "d_model", "dim")

    @property
    def head_width(self) -> int:
        own = self.number("head_dim", default=0) if self.values.get("head_dim") else 0
        if not own and self.width % self.heads:
            raise HwsimError(
                f"{self.path}: hidden_size {self.width}; expected a multiple of {self.heads} heads"
            )
        return own or self.width // self.heads

    @property
    def layers(self) -> int:
        """Blocks. Raises HwsimError for more than a network may have layers."""
        blocks = self.number("num_hidden_layers", "n_layer", "n_layers", "num_layers")
        if blocks > MOST_LAYERS:
            raise HwsimError(f"{self.path}: {blocks} blocks; expected at most {MOST_LAYERS}")
        return blocks

    @property
    def positions(self) -> int:
        """Tokens that it was made for, at most; RoBERTa's first two places are for none."""
        longest = self.number(
            "max_position_embeddings", "n_positions", "max_seq_len", default=TOKENS
        )
        return max(1, longest - 2) if self.kind in RESERVES_TWO else longest

    @property
    def tokens(self) -> int:
        return min(TOKENS, self.positions)


@dataclass(frozen=True)
class Style:
    """How models of a kind are built.

    norm: which. gated: three products instead of two. rotary: positions by rotation, else learned.
    causal: it generates, and its last token alone is asked for words. act: of products that are not
    gated.
    """

    norm: str = "layernorm"
    gated: bool = False
    rotary: bool = False
    causal: bool = True
    act: str = "gelu"


LLAMA = Style("rmsnorm", gated=True, rotary=True)
STYLES: dict[str, Style] = {
    "bert": Style(causal=False),
    "roberta": Style(causal=False),
    "xlm-roberta": Style(causal=False),
    "electra": Style(causal=False),
    "distilbert": Style(causal=False),
    "vit": Style(causal=False),
    "deit": Style(causal=False),
    "gpt2": Style(act="gelu_new"),
    "gpt_neox": Style(rotary=True),
    "opt": Style(act="relu"),
    "phi": Style(rotary=True),
    "falcon": Style(rotary=True),
    "starcoder2": Style(rotary=True),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo", "olmo2"), LLAMA
    ),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe", "olmoe"), LLAMA),
    "stablelm": Style(gated=True, rotary=True),
}


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a key that is there twice, of which JSON would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice; expected it once")
    return found


class HuggingFace:
    """Encoders, decoders and vision transformers, with grouped queries and with experts."""

    suffix = ".json"
    what = "a configuration of Hugging Face, config.json"
    sizes_itself = False

    def read(self, path: Path, size: Size | None) -> WorkloadText:
        """The network as a workload's text.

        Raises HwsimError naming the file for what is no JSON, for a kind of model that is not
        known, and for a key that is missing.
        """
        try:
            values = json.loads(read_text(path), object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise HwsimError(f"{path}: not valid JSON: {printable(str(error))}") from None
        if not isinstance(values, dict) or "model_type" not in values:
            raise HwsimError(f"{path}: no model_type; expected a configuration of Hugging Face")
        nested = values.get("text_config")
        config = Config(path, nested if isinstance(nested, dict) else values)
        if config.kind not in STYLES:
            raise HwsimError(
                f"{path}: model_type {shortened(repr(config.kind))}"
                f"{nearest(config.kind, STYLES)}; expected one of {', '.join(sorted(STYLES))}"
            )
        return _workload(config, STYLES[config.kind])


def _workload(config: Config, style: Style) -> WorkloadText:
    folder = config.path.resolve().parent.name
    name = printable(str(config.values.get("_name_or_path") or folder or config.kind))
    name = name.rstrip("/").rpartition("/")[2] or config.kind
    begin, end = _vision(config) if config.kind in ("vit", "deit") else _language(config, style)
    most = None if style.rotary else config.positions
    given = InputText(tokens=config.tokens, most=most)
    if config.kind in ("vit", "deit"):
        image, channels = config.number("image_size"), config.number("num_channels", default=3)
        given = InputText(channels, image, image)
    blocks = [_block(config, style, number) for number in range(config.layers)]
    return WorkloadText(
        name,
        f"{config.path.name}, a {config.kind} model",
        (*begin, *_repeated(blocks), *end),
        given,
    )


def _block(config: Config, style: Style, number: int) -> tuple[LayerText, ...]:
    """The layers of one block."""
    experts = _has_experts(config, number)
    attention = _attention(config, style, _window(config, number))
    return (*attention, *_products(config, style, experts))


def _repeated(blocks: list[tuple[LayerText, ...]]) -> list[RepeatText]:
    """Blocks that come again and again, in as few words as a period or runs of equals allow."""
    number = len(blocks)
    for period in range(1, LONGEST_PERIOD + 1):
        if number % period == 0 and blocks == blocks[:period] * (number // period):
            return [RepeatText(number // period, _one_after_another(blocks[:period]))]
    runs = [(block, len(list(equal))) for block, equal in groupby(blocks)]
    return [
        RepeatText(times, _named(block, f"_{place}"))
        for place, (block, times) in enumerate(runs, 1)
    ]


def _one_after_another(blocks: Sequence[tuple[LayerText, ...]]) -> tuple[LayerText, ...]:
    """Blocks as one, each reading what the one before gives."""
    if len(blocks) == 1:
        return blocks[0]
    found: list[LayerText] = []
    for place, block in enumerate(blocks, 1):
        before = found[-1].name if found else BLOCK
        found += _named(block, f"_{place}", before)
    return tuple(found)


def _named(block: tuple[LayerText, ...], suffix: str, before: str = BLOCK) -> tuple[LayerText, ...]:
    """A block whose layers' names end so. before: what it reads."""
    return tuple(
        replace(
            entry,
            name=entry.name + suffix,
            from_=tuple(before if name == BLOCK else name + suffix for name in entry.from_),
        )
        for entry in block
    )


def _has_experts(config: Config, number: int) -> bool:
    """Has a block experts? All have, but where every so many do or some are listed as plain."""
    if not (config.values.get("num_local_experts") or config.values.get("num_experts")):
        return False
    plain = config.values.get("mlp_only_layers") or []
    if not isinstance(plain, list):
        raise HwsimError(f"{config.path}: mlp_only_layers: expected a list of layers' numbers")
    step = config.number("decoder_sparse_step", default=1)
    return number not in plain and (number + 1) % step == 0


def _window(config: Config, number: int) -> int | None:
    """Tokens that a block's attention looks back on; None for all.

    `layer_types` says it layer by layer. Elsewhere Qwen's switch turns it on from a layer onwards,
    and Gemma 2 has it in every other layer.
    """
    if not config.values.get("sliding_window"):
        return None
    window, types = config.number("sliding_window"), config.values.get("layer_types")
    if isinstance(types, list) and len(types) > number:
        slides = types[number] == "sliding_attention"
    elif config.kind.startswith("qwen"):
        switched = bool(config.values.get("use_sliding_window"))
        slides = switched and number >= config.number("max_window_layers", default=28, least=0)
    elif config.kind == "gemma2":
        slides = number % 2 == 0
    else:
        slides = True
    return window if slides else None


def _language(config: Config, style: Style) -> tuple[list[Entry], list[Entry]]:
    """What comes before the blocks and behind them."""
    of_word = config.number("word_embed_proj_dim", "embedding_size", default=config.width)
    begin: list[Entry] = [LayerText("embed", "embedding", k=of_word)]
    if of_word != config.width:
        begin.append(LayerText("widen", "linear", k=config.width))
    if not style.rotary:
        begin.append(LayerText("positions", "add"))
    if not style.causal:
        return [*begin, LayerText("embed_norm", style.norm)], []
    words = config.number("vocab_size")
    narrow = [LayerText("narrow", "linear", k=of_word)] if of_word != config.width else []
    return begin, [
        LayerText("last_norm", style.norm),
        LayerText("last", "tokens", tokens=1),
        *narrow,
        LayerText("words", "linear", k=words),
    ]


def _vision(config: Config) -> tuple[list[Entry], list[Entry]]:
    image, patch = config.number("image_size"), config.number("patch_size")
    if image % patch:
        raise HwsimError(f"{config.path}: image_size {image}; expected a multiple of {patch}")
    begin: list[Entry] = [
        LayerText("patches", "conv", k=config.width, r=patch, stride=patch),
        LayerText("flatten", "flatten"),
        LayerText("class_token", "tokens", more=1),
        LayerText("positions", "add"),
    ]
    labels = config.values.get("id2label")
    classes = len(labels) if isinstance(labels, dict) and labels else 1000
    return begin, [
        LayerText("last_norm", "layernorm"),
        LayerText("class", "tokens", tokens=1),
        LayerText("classes", "linear", k=classes),
    ]


def _kv_heads(config: Config) -> int:
    """Heads of keys and values: of Falcon's older models one, or as many as of queries."""
    if config.kind == "falcon" and not config.values.get("new_decoder_architecture"):
        return 1 if config.values.get("multi_query", True) else config.heads
    return config.number("num_key_value_heads", "num_kv_heads", default=config.heads)


def _attention(config: Config, style: Style, window: int | None) -> list[LayerText]:
    """Norm, queries, keys and values by one product, attention, product, and what came in."""
    heads, width, kv_heads = config.heads, config.head_width, _kv_heads(config)
    if heads % kv_heads:
        raise HwsimError(
            f"{config.path}: {kv_heads} heads of keys and values; expected a divisor of {heads}"
        )
    entries = [
        LayerText("norm1", style.norm, from_=(BLOCK,)),
        LayerText("qkv", "linear", k=(heads + 2 * kv_heads) * width),
    ]
    if style.rotary:
        entries.append(LayerText("rotary", "rotary"))
    return [
        *entries,
        LayerText(
            "attention",
            "attention",
            heads=heads,
            kv_heads=kv_heads if kv_heads != heads else None,
            causal=style.causal,
            window=window,
        ),
        LayerText("project", "linear", k=config.width),
        LayerText("add1", "add", from_=("project", BLOCK)),
    ]


def _products(config: Config, style: Style, experts: bool) -> list[LayerText]:
    """Norm, the products that widen and narrow again, and what came in."""
    width = config.width
    norm = LayerText("norm2", style.norm)
    add = LayerText("add2", "add", from_=("down", "add1"))
    if experts:
        entries = _experts(config, config.number("moe_intermediate_size", *WIDE, default=4 * width))
        return [norm, *entries, replace(add, from_=(entries[-1].name, "add1"))]
    wide = config.number(*WIDE, default=4 * width)
    if style.gated:
        up = [LayerText("gate_up", "linear", k=2 * wide), LayerText("act", "swiglu")]
    else:
        up = [LayerText("up", "linear", k=wide), LayerText("act", style.act)]
    return [norm, *up, LayerText("down", "linear", k=width), add]


def _experts(config: Config, wide: int) -> list[LayerText]:
    """A product chooses experts for every token; each chosen one has its own products.

    A shared expert, where there is one, has every token besides, weighed by a number of its own.
    """
    experts = config.number("num_local_experts", "num_experts")
    active = config.number("num_experts_per_tok", default=2)
    shared = config.number("shared_expert_intermediate_size", default=0, least=0)
    return [
        LayerText("router", "linear", k=experts, from_=("norm2",)),
        LayerText(
            "gate_up", "experts", k=2 * wide, experts=experts, active=active, from_=("norm2",)
        ),
        LayerText("act", "swiglu"),
        LayerText("down", "experts", k=config.width, experts=experts),
        LayerText("combine", "combine", active=active),
        *(_shared_expert(config, shared) if shared else ()),
    ]


def _shared_expert(config: Config, wide: int) -> list[LayerText]:
    return [
        LayerText("shared_gate", "linear", k=1, from_=("norm2",)),
        LayerText("shared_gate_up", "linear", k=2 * wide, from_=("norm2",)),
        LayerText("shared_act", "swiglu"),
        LayerText("shared_down", "linear", k=config.width),
        LayerText("shared_weighed", "scale"),
        LayerText("shared_add", "add", from_=("combine", "shared_weighed")),
    ]


MODELS.register("hugging-face")(_reader := HuggingFace())
_checked: ModelReader = _reader
