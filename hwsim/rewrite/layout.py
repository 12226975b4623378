"""How maps lie in memory, and what copies cost where channels had better lie side by side.

    convolution on maps in NCHW, copied:              the same with maps in NHWC already:

    to-nhwc:       ifmap.nhwc[n][h][w][c] = ifmap[n][c][h][w]
    convolution:   ofmap.nhwc += ifmap.nhwc * filter.nhwc          ofmap += ifmap * filter
    to-nchw:       ofmap[n][k][p][q] = ofmap.nhwc[n][p][q][k]

The filters are laid out once, before inference, unless the layer says that they come anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwsim.describe.kernels import Library
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.ir.kernel import Move
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Operations, Plan, Stage
from hwsim.ir.tensor import Axis, Tensor, along
from hwsim.parts.sm import StreamingMultiprocessor

MAPS_ARE_COPIED = Note(
    "maps are copied to channels last and back; nhwc maps (--layout) are not", About.LIBRARY
)


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
    wanting = [
        stage
        for stage in plan.stages
        if wants_channels_last(stage, sm.library, machine.dtype, products)
    ]
    written = {stage.output.buffer for stage in wanting}  # a map lies in one way for all its phases
    copies = {
        stage.name: tuple(map(channels_last_copy, stage.tensors))
        for stage in plan.stages
        if stage in wanting or (stage.view is not None and stage.output.buffer in written)
    }
    return on_copies(plan, copies) if copies else plan


def on_copies(plan: Plan, copies: Mapping[str, Sequence[Copy]]) -> Plan:
    """The plan with stages that run on copies of some tensors, by the stage's name.

    What several stages read is copied once, before the first of them; what several write, such as
    the phases of a transposed convolution, once, behind the last.
    """
    stages: list[Stage] = []
    names: dict[str, None] = {}
    for number, stage in enumerate(plan.stages):
        moved = {copy.tensor.name: copy for copy in copies.get(stage.name, ())}
        tensors = tuple(moved[t.name].made if t.name in moved else t for t in stage.tensors)
        later = {
            copy.made.name
            for each in plan.stages[number + 1 :]
            for copy in copies.get(each.name, ())
        }
        inputs = [copy for copy in moved.values() if not copy.of_output]
        outputs = [copy for copy in moved.values() if copy.of_output]
        stages += (_pass(stage, copy, True) for copy in inputs if copy.made.name not in names)
        stages.append(replace(stage, tensors=tensors))
        stages += (_pass(stage, copy, False) for copy in outputs if copy.made.name not in later)
        names.update(dict.fromkeys(copy.made.name for copy in moved.values()))
    notes = dict.fromkeys(copy.note for found in copies.values() for copy in found)
    return replace(
        plan,
        stages=tuple(stages),
        temporaries=(*plan.temporaries, *names),
        notes=(*plan.notes, *notes),
    )


@dataclass(frozen=True)
class Copy:
    """A tensor and how it lies in its copy.

    way: in words, how it and how the copy lies. note: what is to be said of it.
    """

    tensor: Tensor
    made: Tensor
    way: tuple[str, str]
    note: Note

    @property
    def of_output(self) -> bool:
        return self.tensor.role == "output"


def channels_last_copy(tensor: Tensor) -> Copy:
    """Maps channels last, filters likewise."""
    if tensor.role == "weight":
        rank = len(tensor.axes)
        channel = rank - 3
        layout = (*(number for number in range(rank) if number != channel), channel)
    else:
        layout = _last(tensor)
    made = replace(tensor, name=f"{tensor.name}.nhwc", layout=layout)
    return Copy(tensor, made, ("nchw", "nhwc"), MAPS_ARE_COPIED)


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
    if tensor.role != "weight" or tensor.stated or len(tensor.axes) != 5:
        return tensor
    single = tensor.axes[1].size == tensor.axes[2].size == 1
    return replace(tensor, layout=(1, 2, 3, 4, 0)) if single else tensor


def is_map(tensor: Tensor) -> bool:
    return tensor.role != "weight" and tensor.buffer in ("ifmap", "ofmap") and len(tensor.axes) > 3


def _last(tensor: Tensor) -> tuple[int, ...]:
    rank = len(tensor.axes)
    return (0, rank - 2, rank - 1, *range(1, rank - 2))


def _dim_of(axis: Axis, number: int) -> str:
    """The dim of a pass along an axis: the axis' own where it is plain."""
    plain = len(axis.terms) == 1 and axis == along(axis.dims[0], axis.size)
    return axis.dims[0] if plain else f"d{number}"


def _pass(stage: Stage, copy: Copy, into: bool) -> Stage:
    """One pass over a tensor: into its copy of another layout, or back."""
    tensor = copy.tensor
    dims = tuple((_dim_of(axis, number), axis.size) for number, axis in enumerate(tensor.axes))
    axes = tuple(along(dim, size) for dim, size in dims)
    plain = Tensor(tensor.name, "activation", axes, tensor.width, tensor.layout)
    apart = replace(copy.made, axes=axes, role="activation")
    source, target = (plain, apart) if into else (apart, plain)
    return Stage(
        f"{tensor.name} to {copy.way[into]}",
        dims,
        (source, replace(target, role="output")),
        Operations(),
        statement=f"{target.name} = {source.name}",
        kernel=Move(),
        dtype=stage.dtype,
        offline=(tensor.kept_as or tensor.role) == "weight",
    )
