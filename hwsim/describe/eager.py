"""What PyTorch launches in eager mode where a workload has one layer: more kernels.

    attention  ->  q, k, v in fp32, scaled, in another order; S = q k^T; S + mask; softmax; are all
                   of a row masked?; P v; back to half precision
    gelu_new   ->  x^3, times a, + x, times b, tanh, + 1, x/2, times that
    qkv        ->  q, k, v

Attention is scaled_dot_product_attention with a mask and without a fused kernel, its path in plain
operators. Hugging Face's transformers 5.17 gives a mask to attention that is not causal, and makes
queries, keys and values apart there; seen in the launches of BERT, GPT-2 and ViT,
reference/h100_transformer_kernels.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hwsim.describe.layer import (
    AttentionLayer,
    ElementwiseLayer,
    Layer,
    LinearLayer,
    MoveLayer,
)
from hwsim.describe.workload import Workload

GELU = (
    ("half", "mul", 1),
    ("cube", "pow", 1),
    ("times_a", "mul", 1),
    ("plus_x", "add", 2),
    ("times_b", "mul", 1),
    ("tanh", "tanh", 1),
    ("plus_1", "add", 1),
    ("product", "mul", 2),
)  # name, operator, maps that it reads
WIDE = "fp32"  # in which the plain path computes
Steps = Iterator[tuple[str, Layer, str]]  # (name, layer, its data type, '' for the run's)


def as_hugging_face_runs(workload: Workload, dtype: str) -> Workload:
    """A transformer as Hugging Face's code runs it in PyTorch, in a data type."""
    return with_gelu_in_steps(with_plain_attention(with_products_apart(workload), dtype))


def with_plain_attention(workload: Workload, dtype: str) -> Workload:
    """Attention that is not causal as PyTorch's plain operators run it in a data type."""
    return _rewritten(
        workload,
        {
            name: _plain_attention(name, layer, narrow=dtype != WIDE)
            for name, layer in workload.layers.items()
            if isinstance(layer, AttentionLayer) and _is_masked(layer)
        },
    )


def with_gelu_in_steps(workload: Workload) -> Workload:
    """The approximated GELU as eight kernels, one for each operator of its formula."""
    return _rewritten(
        workload,
        {
            name: _gelu(name, layer)
            for name, layer in workload.layers.items()
            if isinstance(layer, ElementwiseLayer) and layer.op == "gelu_new"
        },
    )


def with_products_apart(workload: Workload) -> Workload:
    """Queries, keys and values of attention that is not causal as a product each."""
    made = {
        source
        for name, layer in workload.layers.items()
        if _is_masked(layer)
        for source in workload.inputs.get(name, ())
    }
    return _rewritten(
        workload,
        {
            name: _apart(name, layer)
            for name, layer in workload.layers.items()
            if name in made and isinstance(layer, LinearLayer) and layer.k % 3 == 0
        },
    )


def _is_masked(layer: Layer) -> bool:
    return isinstance(layer, AttentionLayer) and not layer.causal


def _plain_attention(name: str, layer: AttentionLayer, narrow: bool) -> Steps:
    words = layer.heads * layer.d
    asked, given = layer.kv_heads * layer.d * layer.kv, words * layer.q
    scores = layer.heads * layer.q * layer.kv

    def copy(of: int, to: int | None = None, op: str = "copy") -> MoveLayer:
        return MoveLayer(layer.n, of, to or of, op=op)

    def each(size: int, op: str) -> ElementwiseLayer:
        return ElementwiseLayer(layer.n, size, 1, 1, op=op)

    inputs = {"q": given, "k": asked, "v": asked}
    if narrow:
        for letter, size in inputs.items():
            yield f"{name}.{letter}_wide", copy(size, op="cast"), WIDE
    for letter in ("q", "k"):
        yield f"{name}.{letter}_scaled", each(inputs[letter], "mul"), WIDE
    for letter, size in inputs.items():
        yield f"{name}.{letter}_ordered", copy(size), WIDE
    yield name, layer, WIDE
    yield f"{name}.mask", each(scores, "mask"), WIDE
    yield f"{name}.masked", copy(scores, max(1, scores // 4), "isneginf"), WIDE  # a byte each
    yield f"{name}.all_masked", copy(max(1, scores // 4), layer.heads * layer.q, "all"), WIDE
    yield f"{name}.where", each(scores, "where"), WIDE
    if narrow:
        yield f"{name}.weights", copy(scores, max(1, scores // 2), "cast"), WIDE
        yield f"{name}.narrow", copy(given, op="cast"), WIDE
    yield f"{name}.ordered", copy(given), ""


def _gelu(name: str, layer: ElementwiseLayer) -> Steps:
    for step, op, inputs in GELU[:-1]:
        yield f"{name}.{step}", replace(layer, op=op, inputs=inputs), ""
    _, op, inputs = GELU[-1]
    yield name, replace(layer, op=op, inputs=inputs), ""


def _apart(name: str, layer: LinearLayer) -> Steps:
    for letter in "qkv":
        yield f"{name}.{letter}", replace(layer, k=layer.k // 3), ""


def _rewritten(workload: Workload, steps: Mapping[str, Steps]) -> Workload:
    """The workload with steps in place of some layers, one after another."""
    layers: dict[str, Layer] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    types, last = dict(workload.types), dict[str, str]()
    for name, layer in workload.layers.items():
        reads = tuple(last.get(source, source) for source in workload.inputs.get(name, ()))
        if name not in steps:
            layers[name], inputs[name] = layer, reads
            continue
        for step, own, dtype in steps[name]:
            layers[step], inputs[step] = own, reads
            reads, last[name] = (step,), step
            if dtype:
                types[step] = dtype
    return replace(workload, layers=layers, inputs=inputs, types=types)
