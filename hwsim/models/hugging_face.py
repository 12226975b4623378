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
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from hwsim.describe.models import MODELS, ModelReader, Size
from hwsim.describe.network_file import (
    BLOCK,
    Entry,
    InputText,
    LayerText,
    RepeatText,
    WorkloadText,
)
from hwsim.describe.reading import read_text
from hwsim.errors import HwsimError, nearest, printable, shortened
from hwsim.models.hugging_face_config import STYLES, Config, Style

WIDE = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
LONGEST_PERIOD = 8  # of blocks that come again and again


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
    begin, end = _vision(config) if style.vision else _language(config, style)
    most = None if style.rotary else config.positions
    given = InputText(tokens=config.tokens, most=most)
    if style.vision:
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
    experts = config.has_experts(number)
    attention = _attention(config, style, config.window(number))
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


def _attention(config: Config, style: Style, window: int | None) -> list[LayerText]:
    """Norm, queries, keys and values by one product, attention, product, and what came in."""
    heads, width, kv_heads = config.heads, config.head_width, config.kv_heads
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
