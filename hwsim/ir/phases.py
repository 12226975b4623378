"""One axis of a strided, dilated or transposed convolution as plain ones of fewer taps.

Plain is of stride 1 and dilation 1:

    strided, u = 2      y[p] = sum_r x[2p + r] w[r]      even taps meet even inputs, odd taps odd
                  ->    y[p] = sum_t x0[p + t] w[2t] + sum_t x1[p + t] w[2t + 1]
                        with x0[i] = x[2i], x1[i] = x[2i + 1]
    dilated, d = 2      y[p] = sum_r x[p + 2r] w[r]      even outputs see even inputs, odd ones odd
    transposed, u = 2   y[2h + r] += x[h] w[r]           even outputs see even taps, odd ones odd

Taps that fall into one phase make its filter; outputs of one residue are its image. In general,
with g = gcd(u, d), taps have u/g phases and outputs d/g residues, and neighbours stand lcm(u, d)
inputs apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from hwsim.describe.layer import ConvLayer, ConvTransposeLayer


@dataclass(frozen=True)
class Line:
    """index = offset + residue * i + phase * u + step * position."""

    offset: int
    residue: int
    phase: int
    step: int


@dataclass(frozen=True)
class Phases:
    """Phases of one axis with `taps` taps each.

    They are stride-1 correlations of positions 0 ... places - 1 with those taps.

    filter: where tap t of phase u stands; input: where position z = place + tap of residue i and
    phase u is read; output: where place z of residue i and phase u is written. places: outputs of a
    residue, the last of some residues outside the image. summed: the phases add up to the same
    outputs (strided); otherwise each makes outputs of its own (transposed).
    """

    taps: int
    phases: int
    residues: int
    places: int
    filter: Line
    input: Line
    output: Line
    summed: bool


def phases_of(layer: ConvLayer | ConvTransposeLayer, axis: int) -> list[Phases]:
    """The rows' (axis 0) or columns' (axis 1) phases, those with equal numbers of taps together.

    Filters of a transposed convolution are stored with their taps reversed (see
    ConvTransposeLayer).
    """
    outputs, taps = ((layer.p, layer.r), (layer.q, layer.s))[axis]
    split = _transposed if isinstance(layer, ConvTransposeLayer) else _strided
    return split(outputs, taps, layer.strides[axis], layer.dilations[axis], layer.pads[axis][0])


def joined_phases(layer: ConvLayer | ConvTransposeLayer, axis: int) -> list[Phases]:
    """The phases that add up to the same outputs as one.

    The shorter ones have a last tap that is outside the filter.
    """
    found = phases_of(layer, axis)
    first = found[0]
    if not first.summed or len(found) == 1:
        return found
    return [replace(first, phases=sum(phase.phases for phase in found))]


def _tap_counts(taps: int, phases: int) -> list[tuple[int, int, int]]:
    """(first phase, number of phases, taps of each): phases with one tap more come first."""
    short, longer = divmod(taps, phases)
    groups = [(0, longer, short + 1), (longer, phases - longer, short)]
    return [group for group in groups if group[1] and group[2]]


def _strided(outputs: int, taps: int, u: int, d: int, pad: int) -> list[Phases]:
    common = gcd(u, d)
    phases, residues = u // common, d // common
    return [
        Phases(
            count,
            number,
            min(residues, outputs),
            -(-outputs // residues),
            Line(first, 0, 1, phases),
            Line(first * d - pad, u, d, u * residues),
            Line(0, 1, 0, residues),
            summed=True,
        )
        for first, number, count in _tap_counts(taps, phases)
    ]


def _transposed(outputs: int, taps: int, u: int, d: int, pad: int) -> list[Phases]:
    """The phases of a transposed axis.

    Output p gets taps r with (p + pad - r d) divisible by u. With q = (p + pad) div u it adds

        x[q - e - d/g t] w[b + u/g t]    for every t
    """
    common = gcd(u, d)
    phases, residues = u // common, d // common
    found: list[Phases] = []
    for first, number, count in _tap_counts(taps, phases):
        for phase in range(first, first + number):
            e, c = divmod(phase * d, u)
            start, end = -(-(pad - c) // u), (outputs - 1 + pad - c) // u + 1
            if end <= start:
                continue
            reversed_first = taps - 1 - phase - phases * (count - 1)
            found.append(
                Phases(
                    count,
                    1,
                    min(residues, end - start),
                    -(-(end - start) // residues),
                    Line(reversed_first, 0, -1, phases),
                    Line(start - e - residues * (count - 1), 1, 0, residues),
                    Line(u * start + c - pad, u, 1, u * residues),
                    summed=False,
                )
            )
    return _joined(found)


def _joined(found: list[Phases]) -> list[Phases]:
    """Neighbouring phases that read the same inputs and write neighbouring outputs, as one."""
    joined: list[Phases] = []
    for phase in found:
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.taps, last.input, last.places, last.residues)
            == (phase.taps, phase.input, phase.places, phase.residues)
            and phase.output.offset == last.output.offset + last.phases
            and phase.filter.offset == last.filter.offset - last.phases
        ):
            joined[-1] = replace(last, phases=last.phases + 1)
        else:
            joined.append(phase)
    return joined
