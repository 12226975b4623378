"""ONNX models (extra `onnx`): shapes are those that the library infers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwsim.describe.models import MODELS, ModelReader, Size
from hwsim.describe.network_file import WorkloadText
from hwsim.errors import HwsimError, printable, shortened
from hwsim.models.graphs.graph import Dims, Graph, Node
from hwsim.models.graphs.workload import workload_text

Attributes = Mapping[str, Any]
MOST_NAME = 60
DIMS_OF_IMAGE = 4

# kinds of hwsim.models.graphs.layers; what is not here is counted by what it moves
KINDS = {
    "pointwise": "BatchNormalization Relu LeakyRelu PRelu Clip Sigmoid HardSwish HardSigmoid Tanh "
    "Elu Selu Celu Softplus Softsign ThresholdedRelu Mish Gelu Erf Sqrt Reciprocal Exp Log Neg Abs "
    "Floor Ceil Round Sign Not Cast QuickGelu FastGelu BiasGelu QuantizeLinear DequantizeLinear "
    "ImageScaler",
    "elementwise": "Add Sub Mul Div Sum Max Min Mean Pow Where Equal Greater Less GreaterOrEqual "
    "LessOrEqual And Or Xor Mod PRelu",
    "rows": "Softmax LogSoftmax LayerNormalization SimplifiedLayerNormalization RMSNormalization "
    "SkipLayerNormalization InstanceNormalization GroupNormalization LRN LpNormalization "
    "MeanVarianceNormalization RotaryEmbedding",
    "copy": "Concat Transpose Pad Split Expand Tile Resize Upsample DepthToSpace SpaceToDepth "
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL2 ArgMax ArgMin",
    "pick": "Slice Gather GatherElements GatherND",
    "view": "Reshape Flatten Squeeze Unsqueeze Identity Dropout",
    "shape": "Shape Size Constant ConstantOfShape",
}
NAMED = {  # operators that hwsim counts the operations of
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "LayerNormalization": "layernorm",
    "SkipLayerNormalization": "layernorm",
    "SimplifiedLayerNormalization": "rmsnorm",
    "RMSNormalization": "rmsnorm",
    "InstanceNormalization": "groupnorm",
    "GroupNormalization": "groupnorm",
    "RotaryEmbedding": "rotary",
    "LRN": "lrn",
    "BatchNormalization": "batchnorm",
    "Gelu": "gelu",
    "FastGelu": "gelu",
    "BiasGelu": "gelu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "HardSwish": "hardswish",
    "Relu": "relu",
    "Add": "add",
    "Sum": "add",
    "Mul": "mul",
}
_KIND_OF = {op: kind for kind, ops in KINDS.items() for op in ops.split()}


class OnnxFile:
    """Conv, ConvTranspose, Gemm, MatMul and Attention are products; other operators move data."""

    suffix = ".onnx"
    what = "an ONNX model"
    sizes_itself = True

    def read(self, path: Path, size: Size | None) -> WorkloadText:
        """The model as a workload's text.

        size: of images, or twice a number of tokens, in place of lengths that the model leaves
        open. Raises HwsimError naming the file.
        """
        try:
            import onnx
        except ImportError:
            raise HwsimError(
                f"{path}: reading ONNX needs a package: pip install 'hwsim[onnx]'"
            ) from None
        try:
            model = onnx.load(str(path), load_external_data=False)
            _set_lengths(model.graph, size, path)
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
        except HwsimError:
            raise
        except Exception as error:  # whatever protobuf and the library say of a damaged file
            said = shortened(printable(str(error).strip().partition("\n")[0]), 200)
            raise HwsimError(f"{path}: no ONNX model that can be read: {said}") from None
        return workload_text(_graph(inferred, path))


def _set_lengths(graph: Any, size: Size | None, path: Path) -> None:
    """Give open lengths of the inputs a number: 1 image or sequence, then `size`."""
    weights = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in weights]
    open_lengths = []
    for value in given:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            raise HwsimError(
                f"{path}: input {value.name!r} states no shape; expected one whose open lengths "
                f"have names"
            )
        dims = value.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            length = _length(place, len(dims), size)
            if length is not None and (not _is_known(dim) or (size is not None and place > 0)):
                dim.dim_value = length
            elif not _is_known(dim):
                open_lengths.append(f"{value.name}[{place}] ({dim.dim_param or 'unnamed'})")
    if open_lengths:
        wanted = (
            "--input SIZE: rows and columns of an image, or a number of tokens"
            if size is None
            else "a model that states these, as --input does not"
        )
        raise HwsimError(
            f"{path}: lengths of its inputs are open: {shortened(', '.join(open_lengths), 300)}; "
            f"expected {wanted}"
        )
    del graph.value_info[:]  # what was said of the open lengths


def _is_known(dim: Any) -> bool:
    return bool(dim.HasField("dim_value") and dim.dim_value > 0)


def _length(place: int, rank: int, size: Size | None) -> int | None:
    """Of an input's dim that is open: images, rows and columns, or tokens."""
    if place == 0:
        return 1
    if size is None:
        return None
    if rank == DIMS_OF_IMAGE:
        return size[place - 2] if place >= 2 else None
    return size[0] if place == 1 else None


def _graph(model: Any, path: Path) -> Graph:
    graph = model.graph
    dims: dict[str, Dims] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = value.type.tensor_type.shape.dim
        if value.type.HasField("tensor_type") and all(map(_is_known, shape)):
            dims.setdefault(value.name, tuple(dim.dim_value for dim in shape))
    weights = frozenset(tensor.name for tensor in graph.initializer)
    inputs = tuple(value.name for value in graph.input if value.name not in weights)
    names: set[str] = set()
    return Graph(
        printable(path.stem),
        f"{printable(path.name)}, an ONNX model",
        tuple(_node(node, dims, weights, names, path) for node in graph.node),
        dims,
        weights,
        inputs,
        frozenset(value.name for value in graph.output),
    )


def _node(
    node: Any, dims: Mapping[str, Dims], weights: frozenset[str], names: set[str], path: Path
) -> Node:
    op = str(node.op_type)
    kind, attributes = _understood(node, dims, path)
    return Node(
        _free_name(str(node.name) or op.lower(), names),
        kind,
        op,
        tuple(node.input),
        tuple(value for value in node.output if value),
        attributes,
    )


def _free_name(name: str, taken: set[str]) -> str:
    """A name that no other node has."""
    short = printable(name)[-MOST_NAME:] or "node"
    number, free = 1, short
    while free in taken or free in ("input", "block"):
        number += 1
        free = f"{short}_{number}"
    taken.add(free)
    return free


def _understood(node: Any, dims: Mapping[str, Dims], path: Path) -> tuple[str, Attributes]:
    """(kind, attributes) of a node."""
    op = str(node.op_type)
    if op in PRODUCTS:
        kind, read = PRODUCTS[op]
        missing = [value for value in node.input[:2] if value not in dims]
        if missing:
            raise HwsimError(
                f"{path}: {op} {node.name!r}: the shape of {missing[0]!r} cannot be inferred; "
                f"expected a model whose shapes follow from its inputs'"
            )
        return kind, read(node, dims)
    if op in NAMED:
        return _KIND_OF[op], {"as": NAMED[op]}
    kind = _KIND_OF.get(op, "other")
    if kind == "elementwise" and len([value for value in node.input if value]) == 1:
        kind = "pointwise"
    return kind, {}


def _attribute(node: Any, name: str, default: Any) -> Any:
    """A node's attribute as Python's own value."""
    import onnx

    for attribute in node.attribute:
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _window(node: Any, dims: Mapping[str, Dims], kernel: tuple[int, ...]) -> Attributes:
    """strides, pads and dilations of what moves over the axes behind images and channels."""
    given, axes = dims[node.input[0]][2:], len(kernel)
    strides = tuple(_attribute(node, "strides", (1,) * axes))
    dilations = tuple(_attribute(node, "dilations", (1,) * axes))
    pads = tuple(_attribute(node, "pads", (0,) * 2 * axes))
    auto = _attribute(node, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        sums = [
            max(0, (-(-size // stride) - 1) * stride + dilation * (taps - 1) + 1 - size)
            for size, stride, dilation, taps in zip(given, strides, dilations, kernel, strict=True)
        ]
        less, more = [total // 2 for total in sums], [-(-total // 2) for total in sums]
        pads = (*less, *more) if auto == "SAME_UPPER" else (*more, *less)
    return {
        "kernel": kernel,
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "groups": _attribute(node, "group", 1),
    }


def _conv_integer(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    """Its further inputs are zero points, no bias."""
    return {**_window(node, dims, dims[node.input[1]][2:]), "bias": False}


def _conv(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    return {**_conv_integer(node, dims), "bias": any(node.input[2:])}


def _convtranspose(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    window = _conv(node, dims)
    axes = len(window["kernel"])
    return {**window, "output_padding": tuple(_attribute(node, "output_padding", (0,) * axes))}


def _pool(maximum: bool) -> Callable[[Any, Mapping[str, Dims]], Attributes]:
    def read(node: Any, dims: Mapping[str, Dims]) -> Attributes:
        window = _window(node, dims, tuple(_attribute(node, "kernel_shape", ())))
        return {**window, "max": maximum}

    return read


def _gemm(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    return {
        "transpose_a": bool(_attribute(node, "transA", 0)),
        "transpose_b": bool(_attribute(node, "transB", 0)),
    }


def _attention(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    return {"causal": bool(_attribute(node, "is_causal", 0))}


def _none(node: Any, dims: Mapping[str, Dims]) -> Attributes:
    return {}


PRODUCTS: dict[str, tuple[str, Callable[[Any, Mapping[str, Dims]], Attributes]]] = {
    "Conv": ("conv", _conv),
    "ConvInteger": ("conv", _conv_integer),
    "ConvTranspose": ("convtranspose", _convtranspose),
    "MaxPool": ("pool", _pool(True)),
    "AveragePool": ("pool", _pool(False)),
    "LpPool": ("pool", _pool(False)),
    "GlobalAveragePool": ("global_pool", _none),
    "GlobalMaxPool": ("global_pool", _none),
    "Gemm": ("product", _gemm),
    "MatMul": ("product", _gemm),
    "MatMulInteger": ("product", _gemm),
    "Attention": ("attention", _attention),
}

MODELS.register("onnx")(_reader := OnnxFile())
_checked: ModelReader = _reader
