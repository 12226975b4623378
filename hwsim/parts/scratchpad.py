"""An explicit memory: it holds the tiles that the nest places there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from hwsim.describe.machine import PARTS, ROLES, Memory, Role
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import Bandwidth


@PARTS.register("scratchpad")
@dataclass(frozen=True)
class Scratchpad(Memory):
    """roles: which tensors it holds. bandwidth: of one instance (all its banks), for reads and for
    writes.

    buffers: tiles of a tensor at once: 2 loads the next one while one is used, n runs n - 1 ahead.
    bypass: a nest may leave out tensors that the memory could hold; they pass it by. word_bytes:
    the width at which partial sums are kept (accumulators). banks: equal parts of it; with
    whole_banks each belongs to one tensor, else words lie across them in turn. keeps: tensors that
    stay here when they fit, and do not go through DRAM: feature maps between layers, weights loaded
    once. phases: bulk-synchronous: what moves through its port moves between computing, not beside
    it.
    """

    kind: ClassVar[str] = "scratchpad"
    bandwidth: Bandwidth = quantity("bandwidth")
    roles: tuple[Role, ...] = field(default=ROLES)
    buffers: int = count(default=2)
    per: Literal["chip", "pe", "sm"] = "chip"
    word_bytes: int | None = count(default=None)
    bypass: bool = False
    energy: float | None = quantity("energy_pj_per_byte", default=None)
    banks: int = count(default=1)
    whole_banks: bool = False
    keeps: tuple[Role, ...] = ()
    phases: bool = False

    @property
    def holds(self) -> tuple[Role, ...]:
        return self.roles

    @property
    def may_pass_by(self) -> bool:
        """Threads may load into registers past an SM's shared memory."""
        return self.bypass or self.per == "sm"

    def occupied(self, size: int) -> int:
        """Bytes that a tile of `size` bytes takes: whole banks, where each is one tensor's."""
        bank = self.capacity // self.banks
        return -(-size // bank) * bank if self.whole_banks else size

    @property
    def by_banks(self) -> str:
        """For messages: how the capacity is divided."""
        return f" in {self.banks} banks, each one tensor's" if self.whole_banks else ""

    def faults(self) -> Iterator[tuple[str, str]]:
        for index, role in enumerate(self.keeps):
            if role not in self.roles:
                yield (
                    f"keeps[{index}]",
                    f"{role!r} is none of its roles; expected one of {', '.join(self.roles)}",
                )
        if self.capacity % self.banks:
            yield (
                "banks",
                f"{self.banks}; expected a divisor of the capacity, {self.capacity} bytes",
            )
        for index, role in enumerate(self.roles):
            if role in self.roles[:index]:
                yield f"roles[{index}]", f"{role!r} given twice"
