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
from collections.abc import Mapping
from dataclasses import dataclass, replace
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

WIDE = ("moe_intermediate_size", "intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
TOKENS = 2048  # of a prefill where the user states none, at most the model's own
LARGEST = 1 << 31


@dataclass(frozen=True)
class Config:
    """A configuration with the words of its many dialects.

    Raises HwsimError naming the file and the key that is missing or no whole number.
    """

    path: Path
    values: Mapping[str, Any]

    def number(self, *keys: str, default: int | None = None) -> int:
        """The first of the keys that is there."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, list) and len(set(value)) == 1:
                value = value[0]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST:
                raise HwsimError(
                    f"{self.path}: {key}: {shortened(repr(value))}; expected a whole number of at "
                    f"least 1"
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
        return self.number("num_hidden_layers", "n_layer", "n_layers", "num_layers")

    @property
    def tokens(self) -> int:
        longest = self.number(
            "max_position_embeddings", "n_positions", "max_seq_len", default=TOKENS
        )
        return min(TOKENS, longest)


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
    given = InputText(tokens=config.tokens)
    if config.kind in ("vit", "deit"):
        image, channels = config.number("image_size"), config.number("num_channels", default=3)
        given = InputText(channels, image, image)
    block = RepeatText(config.layers, (*_attention(config, style), *_products(config, style)))
    return WorkloadText(
        name, f"{config.path.name}, a {config.kind} model", (*begin, block, *end), given
    )


def _language(config: Config, style: Style) -> tuple[list[Entry], list[Entry]]:
    """What comes before the blocks and behind them."""
    embed = LayerText("embed", "embedding", k=config.width)
    begin: list[Entry] = [embed]
    if not style.rotary:
        begin.append(LayerText("positions", "add"))
    if not style.causal:
        return [*begin, LayerText("embed_norm", style.norm)], []
    words = config.number("vocab_size")
    return begin, [
        LayerText("last_norm", style.norm),
        LayerText("last", "tokens", tokens=1),
        LayerText("words", "linear", k=words),
    ]


def _vision(config: Config) -> tuple[list[Entry], list[Entry]]:
    image, patch = config.number("image_size"), config.number("patch_size")
    if image % patch:
        raise HwsimError(f"{config.path}: image_size {image}; expected a multiple of {patch}")
    places = (image // patch) ** 2
    begin: list[Entry] = [
        LayerText("patches", "conv", k=config.width, r=patch, stride=patch),
        LayerText("flatten", "flatten"),
        LayerText("class_token", "tokens", tokens=places + 1),
        LayerText("positions", "add"),
    ]
    labels = config.values.get("id2label")
    classes = len(labels) if isinstance(labels, dict) and labels else 1000
    return begin, [
        LayerText("last_norm", "layernorm"),
        LayerText("class", "tokens", tokens=1),
        LayerText("classes", "linear", k=classes),
    ]


def _attention(config: Config, style: Style) -> list[LayerText]:
    """Norm, queries, keys and values by one product, attention, product, and what came in."""
    heads, width = config.heads, config.head_width
    kv_heads = config.number("num_key_value_heads", "num_kv_heads", default=heads)
    if config.values.get("multi_query") and config.kind == "falcon":
        kv_heads = config.number("num_kv_heads", default=1)
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
        ),
        LayerText("project", "linear", k=config.width),
        LayerText("add1", "add", from_=("project", BLOCK)),
    ]


def _products(config: Config, style: Style) -> list[LayerText]:
    """Norm, the products that widen and narrow again, and what came in."""
    width = config.width
    wide = config.number(*WIDE, default=4 * width)
    norm = LayerText("norm2", style.norm)
    add = LayerText("add2", "add", from_=("down", "add1"))
    experts = config.values.get("num_local_experts") or config.values.get("num_experts")
    if experts:
        return [norm, *_experts(config, wide), replace(add, from_=("combine", "add1"))]
    if style.gated:
        up = [LayerText("gate_up", "linear", k=2 * wide), LayerText("act", "swiglu")]
    else:
        up = [LayerText("up", "linear", k=wide), LayerText("act", style.act)]
    return [norm, *up, LayerText("down", "linear", k=width), add]


def _experts(config: Config, wide: int) -> list[LayerText]:
    """A product chooses experts for every token; each chosen one has its own products."""
    experts = config.number("num_local_experts", "num_experts")
    active = config.number("num_experts_per_tok", default=2)
    return [
        LayerText("router", "linear", k=experts, from_=("norm2",)),
        LayerText(
            "gate_up", "experts", k=2 * wide, experts=experts, active=active, from_=("norm2",)
        ),
        LayerText("act", "swiglu"),
        LayerText("down", "experts", k=config.width, experts=experts),
        LayerText("combine", "combine", active=active),
    ]


MODELS.register("hugging-face")(_reader := HuggingFace())
_checked: ModelReader = _reader
