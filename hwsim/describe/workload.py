"""A workload: named layers in order, and what each reads."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from hwsim.describe.layer import (
    ConvLayer,
    ConvTransposeLayer,
    Density,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    PoolLayer,
    ProductLayer,
)
from hwsim.errors import HwsimError, UnknownName

if TYPE_CHECKING:
    import networkx


LAID_OUT = (ConvLayer, ConvTransposeLayer, ElementwiseLayer, PoolLayer)  # layers of maps


def numbered(name: str, taken: Container[str], last: dict[str, int]) -> str:
    """The name itself, or when it is taken with a number behind it: conv, conv (2), conv (3).

    last: numbers given so far, by name; it is kept up.
    """
    free, number = name, last.get(name, 1)
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    last[name] = number
    return free


def _is_number_of(known: str, name: str) -> bool:
    number = known.removeprefix(f"{name} (").removesuffix(")")
    return known == f"{name} ({number})" and number.isdecimal()


@dataclass(frozen=True)
class Workload:
    """Named layers in order, and for each the layers it reads.

    batch: images at once. notes: what to know of it, as which operators of a model are not
    modelled. riding: operators that a layer's outputs go through while they are on the chip, by its
    name. types: data types of layers that keep theirs, whatever a run's is.
    """

    name: str
    layers: dict[str, Layer]
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    batch: int = 1
    notes: tuple[str, ...] = ()
    riding: dict[str, tuple[str, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    @property
    def graph(self) -> networkx.DiGraph[str]:
        """Layers as nodes, feature maps as edges."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.layers)
        graph.add_edges_from(
            (source, name)
            for name, sources in self.inputs.items()
            for source in sources
            if source in self.layers
        )
        return graph

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers.values())

    @property
    def conv_macs(self) -> int:
        return sum(
            layer.macs
            for layer in self.layers.values()
            if isinstance(layer, (ConvLayer, ConvTransposeLayer))
        )

    def only(self, names: tuple[str, ...]) -> Workload:
        """The named layers alone, all of a name that several have. Raises UnknownName."""
        wanted = set()
        for name in names:
            found = [known for known in self.layers if known == name or _is_number_of(known, name)]
            if not found:
                raise UnknownName(f"layer in {self.name}", name, self.layers)
            wanted.update(found)
        kept = {name: layer for name, layer in self.layers.items() if name in wanted}
        return replace(self, layers=kept, inputs={name: self.inputs.get(name, ()) for name in kept})

    def eager(self) -> Workload:
        """The same workload with a layer for every operator that rides along.

        So frameworks run it in eager mode: conv1, conv1.bias, conv1.relu.
        """
        layers: dict[str, Layer] = {}
        inputs: dict[str, tuple[str, ...]] = {}
        ends: dict[str, str] = {}
        for name, layer in self.layers.items():
            layers[name] = layer
            inputs[name] = tuple(ends.get(read, read) for read in self.inputs.get(name, ()))
            ends[name] = name
            for op in self.riding.get(name, ()):
                step = f"{name}.{op}"
                layers[step] = _element_by_element(op, layer)
                inputs[step], ends[name] = (ends[name],), step
        return replace(self, layers=layers, inputs=inputs, riding={})

    def with_density(self, density: Density) -> Workload:
        """The same workload with these shares of non-zeros in every layer that multiplies.

        They are those of weights and of activations.
        """
        return replace(
            self,
            layers={
                name: layer
                if not isinstance(layer, ProductLayer)
                else replace(layer, density=density)
                for name, layer in self.layers.items()
            },
        )

    def with_dtype(self, dtype: str) -> Workload:
        """The same workload in a data type, but for layers that keep their own."""
        return replace(
            self,
            layers={
                name: replace(layer, dtype=self.types.get(name, dtype))
                for name, layer in self.layers.items()
            },
        )

    def with_batch(self, batch: int) -> Workload:
        """The same workload on so many images at once. Raises HwsimError for less than one."""
        if batch < 1:
            raise HwsimError(f"batch {batch}; expected at least 1")
        layers: dict[str, Layer] = {}
        for name, layer in self.layers.items():
            if isinstance(layer, GemmLayer) and layer.batch > 1 and layer.operand == "data":
                layers[name] = replace(layer, batch=layer.batch // self.batch * batch)
            elif isinstance(layer, GemmLayer):
                layers[name] = replace(layer, m=layer.m // self.batch * batch)
            else:
                layers[name] = replace(layer, n=layer.n // self.batch * batch)
        return replace(self, layers=layers, batch=batch)

    def with_layout(self, layout: Literal["nchw", "nhwc"]) -> Workload:
        """The same workload with its maps in this layout."""
        return replace(
            self,
            layers={
                name: replace(layer, layout=layout) if isinstance(layer, LAID_OUT) else layer
                for name, layer in self.layers.items()
            },
        )


def _element_by_element(op: str, layer: Layer) -> ElementwiseLayer:
    """An operator on what a layer puts out."""
    images = layer.batch if isinstance(layer, GemmLayer) else layer.n
    layout = layer.layout if isinstance(layer, LAID_OUT) else "nchw"
    return ElementwiseLayer(images, *layer.output, op=op, dtype=layer.dtype, layout=layout)


def single(layer: Layer, name: str = "layer", batch: int | None = None) -> Workload:
    """A workload of one layer; batch: its n, where none is given, and 1 for a product."""
    if batch is None:
        batch = 1 if isinstance(layer, GemmLayer) else layer.n
    return Workload(name, {name: layer}, {name: ()}, batch=batch)
