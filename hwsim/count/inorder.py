"""Matrix products in fp32 whose sums are added strictly in order."""

from __future__ import annotations

from typing import Any

from hwsim.compiled import kernel

jit: Any = kernel(nogil=True)


@jit
def add_in_order(out: Any, a: Any, b: Any) -> None:
    """out [b, m, n] += a [b, m, k] x b [b, k, n], k ascending.

    Every product and every sum is rounded to fp32.
    """
    for batch in range(out.shape[0]):
        for m in range(out.shape[1]):
            for k in range(a.shape[2]):
                factor = a[batch, m, k]
                for n in range(out.shape[2]):
                    out[batch, m, n] += factor * b[batch, k, n]
