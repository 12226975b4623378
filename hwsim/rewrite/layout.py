"""How maps lie in memory, and what copies cost where channels had better lie side by side.

    convolution on maps in NCHW, copied:              the same with maps in NHWC already:

    to-nhwc:       ifmap.nhwc[n][h][w][c] = ifmap[n][c][h][w]
    convolution:   ofmap.nhwc += ifmap.nhwc * filter.nhwc          ofmap += ifmap * filter
    to-nchw:       ofmap[n][k][p][q] = ofmap.nhwc[n][p][q][k]

The filters are laid out once, before inference, unless the layer says that they come anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwsim.describe.kernels import Library
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.ir.kernel import Move
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Operations, Plan, Stage
from hwsim.ir.tensor import Tensor, along
from hwsim.parts.sm import StreamingMultiprocessor


def in_layout(plan: Plan, layer: Layer, machine: Machine, *, products: bool = False) -> Plan:
    """The plan with the layer's maps as it says they lie.

    It has the copies that a GPU's library makes of maps that lie otherwise than its kernels want
    them, and filters timed where they come anew. products: convolutions of one tap, which are plain
    products in any layout, have copies too.
    """
    if not isinstance(layer, (ConvLayer, ConvTransposeLayer)):
        return plan
    if layer.layout == "nhwc":
        plan = replace(plan, stages=tuple(_channels_last(stage) for stage in plan.stages))
    else:
        plan = _with_copies(plan, machine, products)
    if layer.filters == "online":
        stages = tuple(replace(stage, offline=False) for stage in plan.stages)
        plan = replace(plan, stages=stages)
    return plan


def _with_copies(plan: Plan, machine: Machine, products: bool) -> Plan:
    sm = machine.compute
    if not isinstance(sm, StreamingMultiprocessor) or sm.library is None or plan.fused_over:
        return plan
    wanting = {
        stage.name: stage.tensors
        for stage in plan.stages
        if wants_channels_last(stage, sm.library, machine.dtype, products)
    }
    return on_copies(plan, wanting)


def on_copies(plan: Plan, copied: Mapping[str, Sequence[Tensor]]) -> Plan:
    """The plan with stages that run on copies of some tensors, channels last.

    copied: tensors by the stage's name.
    """
    stages: list[Stage] = []
    copies: list[str] = []
    for stage in plan.stages:
        if not copied.get(stage.name):
            stages.append(stage)
            continue
        moved = {
            tensor.name: _apart(tensor, f"{tensor.name}.nhwc") for tensor in copied[stage.name]
        }
        inside = replace(stage, tensors=tuple(moved.get(t.name, t) for t in stage.tensors))
        for tensor in stage.tensors:
            if tensor.name in moved and tensor.role != "output":
                stages.append(_copy(stage, tensor, moved[tensor.name].name, True))
        stages.append(inside)
        if stage.output.name in moved:
            stages.append(_copy(stage, stage.output, inside.output.name, False))
        copies += (tensor.name for tensor in moved.values())
    if not copies:
        return plan
    note = Note(
        "maps are copied to channels last and back; nhwc maps (--layout) are not", About.LIBRARY
    )
    return replace(
        plan,
        stages=tuple(stages),
        temporaries=(*plan.temporaries, *copies),
        notes=(*plan.notes, note),
    )


def wants_channels_last(stage: Stage, library: Library, dtype: str, products: bool = False) -> bool:
    """Do all the library's kernels that could run a stage want its channels side by side?

    Of one tap without gaps it is a plain product, whatever the layout. products: are such meant
    too?
    """
    view, dtype = stage.view, stage.dtype or dtype
    convolves = stage.gathers or (products and stage.has_taps)
    if view is None or not convolves or not library.wants_channels_last(dtype):
        return False
    few = [family.most_n for family in library.families.values() if dtype in family.dtypes]
    return stage.group(view.n) > max(few)


def _channels_last(stage: Stage) -> Stage:
    """The same stage on maps whose channels lie side by side: [n][rows][columns][groups][channels].

    A map's axes are n, groups where there are some, channels, rows, columns.
    """
    return replace(
        stage,
        tensors=tuple(
            replace(tensor, layout=_last(tensor)) if is_map(tensor) else _groups_last(tensor)
            for tensor in stage.tensors
        ),
    )


def _groups_last(tensor: Tensor) -> Tensor:
    """Filters of one channel and one kernel a group, [g][k][c][rows][columns]: groups together."""
    if tensor.role != "weight" or len(tensor.axes) != 5:
        return tensor
    single = tensor.axes[1].size == tensor.axes[2].size == 1
    return replace(tensor, layout=(1, 2, 3, 4, 0)) if single else tensor


def is_map(tensor: Tensor) -> bool:
    return tensor.role != "weight" and tensor.buffer in ("ifmap", "ofmap") and len(tensor.axes) > 3


def _last(tensor: Tensor) -> tuple[int, ...]:
    rank = len(tensor.axes)
    return (0, rank - 2, rank - 1, *range(1, rank - 2))


def _apart(tensor: Tensor, name: str) -> Tensor:
    """The tensor in its copy: maps channels last, filters likewise."""
    if tensor.role == "weight":
        rank = len(tensor.axes)
        channel = rank - 3
        layout = (*(number for number in range(rank) if number != channel), channel)
        return replace(tensor, name=name, layout=layout)
    return replace(tensor, name=name, layout=_last(tensor))


def _copy(stage: Stage, tensor: Tensor, name: str, into: bool) -> Stage:
    """One pass over a tensor: into its copy of another layout, or back."""
    dims = tuple((f"d{number}", axis.size) for number, axis in enumerate(tensor.axes))
    axes = tuple(along(dim, size) for dim, size in dims)
    plain = Tensor(tensor.name, "activation", axes, tensor.width, tensor.layout)
    apart = replace(_apart(replace(tensor, axes=axes), name), role="activation")
    source, target = (plain, apart) if into else (apart, plain)
    return Stage(
        f"{tensor.name} to {'nhwc' if into else 'nchw'}",
        dims,
        (source, replace(target, role="output")),
        Operations(),
        statement=f"{target.name} = {source.name}",
        kernel=Move(),
        dtype=stage.dtype,
        offline=tensor.role == "weight",
    )
