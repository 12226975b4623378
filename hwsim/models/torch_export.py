"""Programs of PyTorch, as torch.export.save writes them (.pt2).

A file is a zip whose graph is plain JSON, so that reading one needs no PyTorch.

    import torch
    program = torch.export.export(model.eval(), (torch.zeros(1, 3, 224, 224),))
    torch.export.save(program, "model.pt2")
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwsim.describe.models import MODELS, ModelReader, Size
from hwsim.describe.network_file import WorkloadText
from hwsim.errors import HwsimError, printable
from hwsim.models.graphs.graph import Dims, Graph, Node
from hwsim.models.graphs.workload import workload_text

Attributes = Mapping[str, Any]
MOST_BYTES = 200 << 20  # of the graph's text

# kinds of hwsim.models.graphs.layers, by the names of aten's operators
KINDS = {
    "pointwise": "relu relu_ relu6 gelu silu sigmoid tanh hardtanh hardtanh_ hardswish hardswish_ "
    "hardsigmoid leaky_relu leaky_relu_ elu clamp clamp_min sqrt rsqrt exp log neg abs pow "
    "batch_norm _native_batch_norm_legit_no_training _to_copy to type_as softplus mish erf "
    "reciprocal cos sin masked_fill",
    "elementwise": "add add_ sub mul mul_ div maximum minimum where eq ne lt le gt ge logical_and",
    "rows": "softmax _softmax log_softmax layer_norm native_layer_norm rms_norm group_norm "
    "native_group_norm instance_norm",
    "copy": "cat clone contiguous pad constant_pad_nd upsample_nearest2d upsample_bilinear2d "
    "pixel_shuffle mean sum amax argmax repeat stack roll cumsum",
    "pick": "embedding index gather index_select",
    "view": "view reshape flatten unsqueeze squeeze transpose permute t expand dropout detach "
    "split chunk unbind slice select narrow alias unflatten swapaxes getitem feature_dropout "
    "identity lift_fresh_copy",
    "shape": "arange full zeros ones zeros_like ones_like full_like sym_size scalar_tensor "
    "_assert_tensor_metadata",
}
NAMED = {  # operators that hwsim counts the operations of
    "softmax": "softmax",
    "_softmax": "softmax",
    "log_softmax": "softmax",
    "layer_norm": "layernorm",
    "native_layer_norm": "layernorm",
    "rms_norm": "rmsnorm",
    "group_norm": "groupnorm",
    "native_group_norm": "groupnorm",
    "instance_norm": "groupnorm",
    "batch_norm": "batchnorm",
    "gelu": "gelu",
    "silu": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "hardswish": "hardswish",
    "relu": "relu",
    "add": "add",
    "mul": "mul",
}
_KIND_OF = {op: kind for kind, ops in KINDS.items() for op in ops.split()}


class TorchExport:
    """Convolutions, linear layers, products and attention multiply; other operators move data."""

    suffix = ".pt2"
    what = "a program of torch.export"
    sizes_itself = True

    def read(self, path: Path, size: Size | None) -> WorkloadText:
        """The program as a workload's text.

        Raises HwsimError naming the file for what is no such program, and for another size: its
        shapes are those that it was exported with.
        """
        if size is not None:
            raise HwsimError(
                f"{path}: --input: a program keeps the shapes that it was exported with; expected "
                f"it exported with another example"
            )
        return workload_text(_graph(_program(path), path))


def _program(path: Path) -> dict[str, Any]:
    """The graph's JSON inside the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.endswith(".json") and "/models/" in f"/{name}"
            ]
            if not names:
                raise HwsimError(
                    f"{path}: no models/*.json in it; expected what torch.export.save writes "
                    f"(PyTorch 2.8 or newer)"
                )
            if archive.getinfo(names[0]).file_size > MOST_BYTES:
                raise HwsimError(f"{path}: a graph of more than {MOST_BYTES} bytes")
            program: dict[str, Any] = json.loads(archive.read(names[0]))
            return program
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise HwsimError(f"{path}: no program that can be read: {printable(str(error))}") from None


def _graph(program: dict[str, Any], path: Path) -> Graph:
    try:
        module = program["graph_module"]
        graph, signature = module["graph"], module["signature"]
        dims = {name: _dims(value) for name, value in graph["tensor_values"].items()}
        given = [
            spec["user_input"]["arg"]["as_tensor"]["name"]
            for spec in signature["input_specs"]
            if "as_tensor" in spec.get("user_input", {}).get("arg", {})
        ]
        every = [value["as_tensor"]["name"] for value in graph["inputs"] if "as_tensor" in value]
        outputs = [value["as_tensor"]["name"] for value in graph["outputs"] if "as_tensor" in value]
        nodes = tuple(_node(node, dims) for node in graph["nodes"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise HwsimError(
            f"{path}: a program of another form ({type(error).__name__}: {error}); expected what "
            f"torch.export.save writes (PyTorch 2.8 or newer)"
        ) from None
    return Graph(
        printable(path.stem),
        f"{printable(path.name)}, a program of PyTorch {program.get('torch_version', '')}".rstrip(),
        nodes,
        {name: size for name, size in dims.items() if size is not None},
        frozenset(every) - set(given),
        tuple(given),
        frozenset(outputs),
    )


def _dims(value: Mapping[str, Any]) -> Dims | None:
    """A value's shape; a length that is a symbol takes its hint. None where there is none."""
    sizes = []
    for size in value["sizes"]:
        if "as_int" in size:
            sizes.append(int(size["as_int"]))
            continue
        hint = (size.get("as_expr") or {}).get("hint") or {}
        if "as_int" not in hint:
            return None
        sizes.append(int(hint["as_int"]))
    return tuple(sizes)


def _node(node: Mapping[str, Any], dims: Mapping[str, Dims | None]) -> Node:
    op = _operator(str(node["target"]))
    arguments = {argument["name"]: argument["arg"] for argument in node["inputs"]}
    tensors = tuple(name for value in arguments.values() for name in _tensors(value))
    outputs = tuple(name for value in node["outputs"] for name in _tensors(value))
    kind, attributes = _understood(op, arguments, tensors, dims)
    if op == "embedding":
        tensors = tensors[1:]  # rows of the table that are asked for, and not all of it
    name = str(node.get("name") or (outputs[0] if outputs else op))
    return Node(name, kind, op, tensors, outputs, attributes)


def _operator(target: str) -> str:
    """conv2d of torch.ops.aten.conv2d.default."""
    parts = target.split(".")
    return parts[3] if target.startswith("torch.ops.") and len(parts) > 3 else parts[-1]


def _tensors(value: Mapping[str, Any]) -> list[str]:
    """Names of the tensors of an argument or an output."""
    if "as_tensor" in value:
        return [str(value["as_tensor"]["name"])]
    if "as_tensors" in value:
        return [str(tensor["name"]) for tensor in value["as_tensors"]]
    if "as_optional_tensors" in value:
        found = value["as_optional_tensors"]
        return [str(one["as_tensor"]["name"]) for one in found if "as_tensor" in one]
    return []


def _value(arguments: Mapping[str, Any], name: str, default: Any) -> Any:
    """A plain argument by name."""
    given = arguments.get(name, {})
    return next(
        (given[kind] for kind in ("as_int", "as_ints", "as_bool", "as_float") if kind in given),
        default,
    )


def _understood(
    op: str, arguments: Mapping[str, Any], tensors: tuple[str, ...], dims: Mapping[str, Any]
) -> tuple[str, Attributes]:
    """(kind, attributes) of a node."""
    if op in ("conv1d", "conv2d", "conv3d", "convolution", "_convolution"):
        transposed = bool(_value(arguments, "transposed", False))
        axes = len(dims[tensors[1]]) - 2
        return "convtranspose" if transposed else "conv", _window(arguments, axes, tensors, dims)
    if op.startswith("conv_transpose"):
        return "convtranspose", _window(arguments, len(dims[tensors[1]]) - 2, tensors, dims)
    if op in ("linear", "mm", "bmm", "matmul", "addmm", "baddbmm"):
        return "product", {"transpose_b": op == "linear", "skip": op in ("addmm", "baddbmm")}
    if op.startswith("scaled_dot_product") or op.startswith("_scaled_dot_product"):
        return "attention", {"causal": bool(_value(arguments, "is_causal", False))}
    if op.startswith(("max_pool", "avg_pool")):
        axes = len(dims[tensors[0]]) - 2
        return "pool", {**_window(arguments, axes, tensors, dims), "max": op.startswith("max")}
    if op.startswith("adaptive_") and set(_spread(_value(arguments, "output_size", 0), 2)) == {1}:
        return "global_pool", {}
    return _KIND_OF.get(op, "other"), {"as": NAMED[op]} if op in NAMED else {}


def _spread(value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return values * axes if len(values) == 1 else values


def _window(
    arguments: Mapping[str, Any], axes: int, tensors: tuple[str, ...], dims: Mapping[str, Any]
) -> Attributes:
    kernel = _value(arguments, "kernel_size", None)
    strides = _value(arguments, "stride", 1) or kernel or 1
    pads = _spread(_value(arguments, "padding", 0), axes)
    if "as_string" in arguments.get("padding", {}):
        same = arguments["padding"]["as_string"] == "same"
        filters = dims[tensors[1]][2:]
        by = _spread(_value(arguments, "dilation", 1), axes)
        reach = [one * (taps - 1) for one, taps in zip(by, filters, strict=True)]
        pads = tuple(each // 2 if same else 0 for each in reach)
    return {
        "kernel": _spread(kernel, axes) if kernel else (),
        "strides": _spread(strides, axes),
        "pads": (*pads, *pads),
        "dilations": _spread(_value(arguments, "dilation", 1), axes),
        "groups": _value(arguments, "groups", 1),
        "output_padding": _spread(_value(arguments, "output_padding", 0), axes),
        "bias": len(tensors) > 2,
    }


MODELS.register("torch-export")(_reader := TorchExport())
_checked: ModelReader = _reader
