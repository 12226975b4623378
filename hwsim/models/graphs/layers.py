"""A node's entries in a workload's file: one function for each kind.

conv, convtranspose, product, attention: what multiplies
pool, global_pool, elementwise, rows: what does a little to every element
pointwise: of one input, so that it may ride along with the layer before
copy, pick, other: what moves; `other` is not modelled beyond that
view, shape: nothing moves
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from hwsim.describe.layer import shortest
from hwsim.describe.network_file import FeatureMap, LayerText
from hwsim.errors import HwsimError
from hwsim.models.graphs.graph import Dims, Graph, Node, elements

PRODUCTS = ("conv", "convtranspose", "product", "attention")
CARRIES = (*PRODUCTS, "elementwise", "pointwise")  # kinds that others ride along with
FREE = ("view", "shape")


def feature_map(dims: Dims) -> tuple[int, FeatureMap]:
    """(images, what one of them is): n c h w, n tokens features, n features, or n and the rest."""
    if len(dims) == 4:
        return dims[0], FeatureMap(*dims[1:])
    if len(dims) == 3:
        return dims[0], FeatureMap(tokens=dims[1], features=dims[2])
    if len(dims) < 2:
        return 1, FeatureMap(prod(dims), 1, 1)
    return dims[0], FeatureMap(prod(dims[1:]), 1, 1)


def _planes(dims: Dims) -> tuple[int, FeatureMap]:
    """(images, c h w) of what windows move over: one axis is the columns."""
    if len(dims) == 3:
        return dims[0], FeatureMap(dims[1], 1, dims[2])
    return dims[0], FeatureMap(*dims[1:4])


def _both(values: tuple[int, ...], alone: int) -> tuple[int, int]:
    """(rows, columns) of an attribute; alone: of the rows where there is one axis."""
    return (alone, values[0]) if len(values) == 1 else (values[0], values[1])


def _sides(pads: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of all begins and then all ends."""
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


def _window(node: Node, dims: Dims, filters: Dims) -> dict[str, Any]:
    """What convolutions of either kind state."""
    images, planes = _planes(dims)
    r, s = _both(filters[2:], 1)
    given = node.attributes
    return {
        "r": r,
        "s": s,
        "stride": _both(given["strides"], 1),
        "pad": _sides(given["pads"]),
        "dilation": _both(given["dilations"], 1),
        "groups": given["groups"],
        "images": images,
        "in_": planes,
        "then": ("bias",) if given["bias"] else None,
    }


def _conv(graph: Graph, node: Node) -> LayerText:
    dims, filters = graph.shape(node, node.inputs[0]), graph.shape(node, node.inputs[1])
    _check_channels(graph, node, dims, filters[1] * node.attributes["groups"])
    if len(dims) == 5:
        return _windows_product(graph, node, filters, graph.shape(node, node.outputs[0]))
    return LayerText(node.name, "conv", k=filters[0], **_window(node, dims, filters))


def _check_channels(graph: Graph, node: Node, dims: Dims, wanted: int) -> None:
    """Raises HwsimError for maps of another number of channels than the filters are for."""
    if len(dims) > 1 and dims[1] != wanted:
        raise HwsimError(
            f"{graph.name}: {node.op} {node.name!r}: {node.inputs[0]!r} has {dims[1]} channels; "
            f"expected {wanted}, as its filters have"
        )


def _windows_product(graph: Graph, node: Node, filters: Dims, out: Dims) -> LayerText:
    """A convolution over three axes, as the product of its windows and filters."""
    groups = node.attributes["groups"]
    return LayerText(
        node.name,
        "gemm",
        m=out[0] * prod(out[2:]),
        n=filters[0] // groups,
        k=prod(filters[1:]),
        batch=groups,
    )


def _convtranspose(graph: Graph, node: Node) -> LayerText:
    dims, filters = graph.shape(node, node.inputs[0]), graph.shape(node, node.inputs[1])
    _check_channels(graph, node, dims, filters[0])
    if len(dims) == 5:
        raise HwsimError(
            f"{graph.name}: {node.op} {node.name!r} over three axes; expected one or two"
        )
    return LayerText(
        node.name,
        "convtranspose",
        k=filters[1] * node.attributes["groups"],
        output_pad=_both(node.attributes["output_padding"], 0),
        **_window(node, dims, filters),
    )


def _product(graph: Graph, node: Node) -> LayerText:
    """A[..][m][k] B[..][k][n]; with a constant operand a layer of weights.

    skip: the first input is what is added to them.
    """
    operands = node.inputs[1:3] if node.attributes.get("skip") else node.inputs[:2]
    a, b = (graph.shape(node, value) for value in operands)
    if node.attributes.get("transpose_a"):
        a = (*a[:-2], a[-1], a[-2])
    if node.attributes.get("transpose_b"):
        b = (*b[:-2], b[-1], b[-2])
    if len(a) == 1:
        a = (1, *a)
    if len(b) == 1:
        b = (*b, 1)
    data = graph.data(node)
    if operands[1] not in data and len(b) == 2:
        return _weights(node.name, a, b[-1])
    if operands[0] not in data and len(a) == 2:
        return _weights(node.name, (*b[:-2], b[-1], b[-2]), a[-2])
    batch = prod(_broadcast(a[:-2], b[:-2]))
    return LayerText(
        node.name,
        "gemm",
        m=a[-2],
        n=b[-1],
        k=a[-1],
        batch=batch,
        operand="data" if operands[1] in data else "weight",
    )


def _broadcast(some: Dims, others: Dims) -> Dims:
    """The axes of both, a length of 1 standing for the other's, the last axes side by side."""
    longest = max(len(some), len(others))
    padded = ((1,) * (longest - len(dims)) + dims for dims in (some, others))
    return tuple(max(pair) for pair in zip(*padded, strict=True))


def _weights(name: str, rows: Dims, k: int) -> LayerText:
    """The rows of one operand, each times the same weights."""
    images, tokens = (rows[0], prod(rows[1:-1])) if len(rows) > 2 else (prod(rows[:-1]), 1)
    given = FeatureMap(tokens=tokens, features=rows[-1])
    return LayerText(name, "linear", k=k, images=images, in_=given)


def _attention(graph: Graph, node: Node) -> LayerText:
    """Of Q, K and V in [n, heads, tokens, width] each."""
    q, k = (graph.shape(node, value) for value in node.inputs[:2])
    images, heads, tokens, width = q
    kv_heads, kv = k[1], k[2]
    return LayerText(
        node.name,
        "attention",
        heads=heads,
        kv_heads=kv_heads,
        kv=kv,
        causal=bool(node.attributes.get("causal")) and kv >= tokens,
        images=images,
        in_=FeatureMap(tokens=tokens, features=(heads + 2 * kv_heads) * width),
    )


def _pool(graph: Graph, node: Node) -> LayerText:
    dims, out = graph.shape(node, node.inputs[0]), graph.shape(node, node.outputs[0])
    if len(dims) == 5:
        return _copy(graph, node)
    images, planes = _planes(dims)
    assert planes.h is not None and planes.w is not None
    given = node.attributes
    window, stride = _both(given["kernel"], 1), _both(given["strides"], 1)
    top, left, _, _ = _sides(given["pads"])
    _, places = _planes(out)
    assert places.h is not None and places.w is not None
    # places that are rounded up reach beyond the end
    down = max(0, (places.h - 1) * stride[0] + window[0] - planes.h - top)
    right = max(0, (places.w - 1) * stride[1] + window[1] - planes.w - left)
    return LayerText(
        node.name,
        "maxpool" if given["max"] else "avgpool",
        r=window[0],
        s=window[1],
        stride=stride,
        pad=(top, left, down, right),
        images=images,
        in_=planes,
    )


def _global_pool(graph: Graph, node: Node) -> LayerText:
    images, planes = _planes(graph.shape(node, node.inputs[0]))
    return LayerText(node.name, "global_avgpool", images=images, in_=planes)


def _elementwise(graph: Graph, node: Node) -> LayerText:
    """Of inputs as large as the output; smaller ones are spread over it, and read once."""
    out = graph.shape(node, node.outputs[0])
    size = elements(out)
    whole = sum(elements(graph.shape(node, value)) == size for value in graph.data(node))
    if not whole:
        return _copy(graph, node)
    images, given = feature_map(out)
    op = node.attributes.get("as", "elementwise")
    label = node.op if op == "elementwise" else None
    return LayerText(node.name, op, inputs=whole, images=images, as_=label, in_=given)


def _copy(graph: Graph, node: Node) -> LayerText:
    """What is read is all that comes in; what is written, all that goes out."""
    reads = sum(elements(graph.shape(node, value)) for value in graph.data(node))
    return _move(graph, node, reads)


def _pick(graph: Graph, node: Node) -> LayerText:
    """Some words of a larger value: as many are read as are written."""
    return _move(graph, node, _written(graph, node))


def _other(graph: Graph, node: Node) -> LayerText:
    """All that comes in, constants too, and all that goes out."""
    known = [value for value in node.inputs if value in graph.dims]
    return _move(graph, node, sum(elements(graph.dims[value]) for value in known))


def _move(graph: Graph, node: Node, reads: int) -> LayerText:
    writes = _written(graph, node)
    one = len(node.outputs) == 1
    images, out = feature_map(graph.shape(node, node.outputs[0])) if one else (1, _flat(writes))
    if reads % images:
        images, out = 1, _flat(writes)
    return LayerText(
        node.name,
        "copy",
        images=images,
        as_=node.op,
        in_=_flat(max(1, reads // images)),
        out=out,
    )


def _flat(words: int) -> FeatureMap:
    return FeatureMap(words, 1, 1)


def _written(graph: Graph, node: Node) -> int:
    known = [value for value in node.outputs if value in graph.dims]
    return max(1, sum(elements(graph.dims[value]) for value in known))


ENTRIES: dict[str, Callable[[Graph, Node], LayerText]] = {
    "conv": _conv,
    "convtranspose": _convtranspose,
    "product": _product,
    "attention": _attention,
    "pool": _pool,
    "global_pool": _global_pool,
    "elementwise": _elementwise,
    "pointwise": _elementwise,
    "rows": _elementwise,
    "copy": _copy,
    "pick": _pick,
    "other": _other,
}


def entry(graph: Graph, node: Node, sources: tuple[str, ...]) -> LayerText:
    """The entry of a node that is a layer of its own.

    Raises HwsimError for shapes that the model does not say.
    """
    made = ENTRIES[node.kind](graph, node)
    return replace(
        made,
        from_=sources,
        s=None if made.s == made.r else made.s,
        stride=shortest(made.stride),
        pad=shortest(made.pad),
        dilation=shortest(made.dilation),
        output_pad=shortest(made.output_pad),
        inputs=None if made.inputs == 1 else made.inputs,
        kv_heads=None if made.kv_heads == made.heads else made.kv_heads,
    )
