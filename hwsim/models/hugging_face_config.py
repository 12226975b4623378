"""What a configuration of Hugging Face says: its numbers by their many names, its kind's style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hwsim.describe.network_file import MOST_LAYERS
from hwsim.errors import HwsimError, shortened

TOKENS = 2048  # of a prefill where the user states none, at most the model's own
LARGEST = 1 << 31


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
        """Tokens that it was made for, at most."""
        longest = self.number(
            "max_position_embeddings", "n_positions", "max_seq_len", default=TOKENS
        )
        return max(1, longest - self.style.reserved)

    @property
    def tokens(self) -> int:
        return min(TOKENS, self.positions)

    @property
    def style(self) -> Style:
        return STYLES[self.kind]

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values: of some older models one, or as many as of queries."""
        if self.style.lone_key_head and not self.values.get("new_decoder_architecture"):
            return 1 if self.values.get("multi_query", True) else self.heads
        return self.number("num_key_value_heads", "num_kv_heads", default=self.heads)

    def has_experts(self, number: int) -> bool:
        """Has a block experts? All have, but where every so many do or some are listed as plain."""
        if not (self.values.get("num_local_experts") or self.values.get("num_experts")):
            return False
        plain = self.values.get("mlp_only_layers") or []
        if not isinstance(plain, list):
            raise HwsimError(f"{self.path}: mlp_only_layers: expected a list of layers' numbers")
        step = self.number("decoder_sparse_step", default=1)
        return number not in plain and (number + 1) % step == 0

    def window(self, number: int) -> int | None:
        """Tokens that a block's attention looks back on; None for all.

        `layer_types` says it layer by layer. Elsewhere the style does: in all blocks, in every
        other, or in those from one onwards where a switch is on.
        """
        if not self.values.get("sliding_window"):
            return None
        window, types = self.number("sliding_window"), self.values.get("layer_types")
        if isinstance(types, list) and len(types) > number:
            slides = types[number] == "sliding_attention"
        elif self.style.windows == "switched":
            switched = bool(self.values.get("use_sliding_window"))
            slides = switched and number >= self.number("max_window_layers", default=28, least=0)
        elif self.style.windows == "every other":
            slides = number % 2 == 0
        else:
            slides = True
        return window if slides else None


@dataclass(frozen=True)
class Style:
    """How models of a kind are built.

    norm: which. gated: three products instead of two. rotary: positions by rotation, else learned.
    causal: it generates, and its last token alone is asked for words. act: of products that are not
    gated. vision: it reads images, in patches. reserved: positions that no token has. windows: the
    blocks that have one, where the model has any. lone_key_head: those of the older architecture
    have one head of keys.
    """

    norm: str = "layernorm"
    gated: bool = False
    rotary: bool = False
    causal: bool = True
    act: str = "gelu"
    vision: bool = False
    reserved: int = 0
    windows: Literal["all", "every other", "switched"] = "all"
    lone_key_head: bool = False


LLAMA = Style("rmsnorm", gated=True, rotary=True)
QWEN = replace(LLAMA, windows="switched")
ROBERTA = Style(causal=False, reserved=2)
VIT = Style(causal=False, vision=True)
STYLES: dict[str, Style] = {
    "bert": Style(causal=False),
    **dict.fromkeys(("roberta", "xlm-roberta"), ROBERTA),
    "electra": Style(causal=False),
    "distilbert": Style(causal=False),
    **dict.fromkeys(("vit", "deit"), VIT),
    "gpt2": Style(act="gelu_new"),
    "gpt_neox": Style(rotary=True),
    "opt": Style(act="relu"),
    "phi": Style(rotary=True),
    "falcon": Style(rotary=True, lone_key_head=True),
    "starcoder2": Style(rotary=True),
    **dict.fromkeys(("llama", "mistral", "gemma", "phi3", "olmo", "olmo2"), LLAMA),
    **dict.fromkeys(("mixtral", "olmoe"), LLAMA),
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe", "qwen3_moe"), QWEN),
    "gemma2": replace(LLAMA, windows="every other"),
    "stablelm": Style(gated=True, rotary=True),
}
