"""A workload by name, path or shape: hwsim's own files, models in other formats, single layers."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

from hwsim.describe.catalog import check_text, locate, shipped
from hwsim.describe.layer import (
    AttentionLayer,
    ConvLayer,
    ConvTransposeLayer,
    GemmLayer,
    Layer,
    LinearLayer,
    lengths,
)
from hwsim.describe.models import model_reader
from hwsim.describe.network_file import Size, build_workload
from hwsim.describe.network_text import workload_yaml
from hwsim.describe.reading import Document, read_text
from hwsim.describe.workload import Workload, single
from hwsim.errors import HwsimError, nearest, shortened


def size_of(text: str) -> Size:
    """299 or 224x320: rows and columns. Raises HwsimError for what is no size."""
    sides = text.lower().split("x")
    sides = sides * 2 if len(sides) == 1 else sides
    whole = all(side.isascii() and side.isdecimal() and len(side) < 7 for side in sides)
    if len(sides) != 2 or not whole or not all(1 <= int(side) <= MOST_PIXELS for side in sides):
        raise HwsimError(f"{text!r}; expected a size such as 299, or 224x320")
    return int(sides[0]), int(sides[1])


def list_workloads() -> list[str]:
    """The names of the shipped networks."""
    return sorted(shipped("workloads"))


def load_workload(
    name_or_path: str | Path, batch: int = 1, size: Size | None = None, context: int | None = None
) -> Workload:
    """A shipped network by name, or your own by path, for `batch` images or sequences.

    A path is that of hwsim's YAML, an ONNX model, a program of torch.export or a configuration of
    Hugging Face. size: rows and columns of an image, or twice a number of tokens, in place of the
    file's. context: tokens before those, whose keys and values are kept. Raises ConfigError with
    every fault of the file (shapes that do not fit at their line), UnknownName, HwsimError for a
    size where the file has no input.
    """
    if not isinstance(batch, Integral) or batch < 1:
        raise HwsimError(f"batch {batch!r}; expected a whole number of at least 1")
    path = locate("workload", "workloads", name_or_path)
    reader = model_reader(path)
    if reader is None:
        own = read_text(path)
        check_text("workloads", path, own)
        return build_workload(Document(own, str(path)), batch, size, context)
    text = workload_yaml(reader.read(path, size))
    still = None if reader.sizes_itself else size
    return build_workload(Document(text, str(path)), batch, still, context)


SHAPES: dict[
    str,
    tuple[
        type[ConvLayer | ConvTransposeLayer | LinearLayer | GemmLayer | AttentionLayer],
        tuple[str, ...],
    ],
] = {
    "attention": (AttentionLayer, ("heads", "q", "kv", "d")),
    "gemm": (GemmLayer, ("m", "n", "k")),
    "linear": (LinearLayer, ("n", "c", "k")),
    "conv": (ConvLayer, ("c", "h", "w", "k", "r", "s", "stride", "pad")),
    "convtranspose": (ConvTransposeLayer, ("c", "h", "w", "k", "r", "s", "stride", "pad")),
}

MOST_PIXELS = 100_000
PER_AXIS = ("stride", "pad", "dilation", "output_pad")
MOST_DIGITS = 15


def find_workload(
    text: str, batch: int = 1, size: Size | None = None, context: int | None = None
) -> Workload:
    """A workload by name or path, one of its layers as NAME:LAYER, or a shape.

        gemm:256,256,256                                       m, n, k; m times the batch
        linear:1,4096,1000                                     n, c, k
        conv:64,56,56,128,3,3,1,1                              c, h, w, k, r, s, stride, pad
        convtranspose:                                         as conv
        conv:c=64,h=56,w=56,k=128,r=3,s=3,pad=1,groups=2       any field by name
        conv:c=40,h=1,w=101,k=24,r=1,s=9,stride=1x2,pad=0x4    rows x columns; pads also
                                                               top x left x bottom x right
        attention:heads=32,q=1,kv=2048,d=128,kv_heads=8        heads, tokens that ask and are
                                                               asked, width

    size, context: as of load_workload. Raises HwsimError for a shape that cannot be read, and as
    load_workload does.
    """
    head, _, rest = text.partition(":")
    if head in SHAPES and rest:
        if size is not None or context is not None:
            raise HwsimError(
                f"--input, --context beside {head}:{rest}; expected the size in the shape alone"
            )
        return single(_shape(head, rest, batch), head, batch if head == "gemm" else None)
    if rest and not Path(text).exists():
        return load_workload(head, batch, size, context).only((rest,))
    return load_workload(text, batch, size, context)


def _shape(op: str, text: str, batch: int) -> Layer:
    kind, order = SHAPES[op]
    form = f"{op}:{','.join(order)}"
    known = lengths(kind)
    values: dict[str, Any] = {} if op == "gemm" else {"n": batch}
    for number, part in enumerate(text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            if number >= len(order):
                raise HwsimError(f"{op}:{text}: more than {len(order)} numbers; expected {form}")
            name, value = order[number], part
        if name.strip() not in known:
            raise HwsimError(
                f"{op}:{text}: no field {name.strip()!r}{nearest(name.strip(), known)}; expected "
                f"{', '.join(known)}"
            )
        parts = value.strip().split("x") if name.strip() in PER_AXIS else [value.strip()]
        if not all(part.isdecimal() and len(part) <= MOST_DIGITS for part in parts):
            raise HwsimError(
                f"{op}:{shortened(text)}: {name.strip()} is {shortened(repr(value))}; expected a "
                f"whole number, as in {form}"
            )
        values[name.strip()] = int(value) if len(parts) == 1 else tuple(int(part) for part in parts)
    missing = [name for name, needed in known.items() if needed and name not in values]
    if missing:
        raise HwsimError(f"{op}:{text}: {', '.join(missing)} missing; expected {form}")
    if op == "gemm":
        values["m"] *= batch
    made: Any = kind
    layer: Layer = made(**values)
    return layer
