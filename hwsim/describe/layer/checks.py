"""What fields with a number for each axis may hold."""

from __future__ import annotations

from collections.abc import Iterator

# one number for both axes, (rows, columns), or pads (top, left, bottom, right)
PerAxis = int | tuple[int, ...]


def axis_text(value: PerAxis) -> str:
    return str(value) if isinstance(value, int) else "x".join(str(part) for part in value)


def whole_faults(layer: object, names: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Fields that are no whole numbers of at least their least value."""
    for name, least in names.items():
        value = getattr(layer, name)
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, bool) or not isinstance(part, int) for part in parts):
            yield name, f"{value!r}; expected a whole number"
        elif any(part < least for part in parts):
            yield name, f"{axis_text(value)}; expected at least {least}"
        elif len(parts) not in (1, 2) and not (name == "pad" and len(parts) == 4):
            yield (
                name,
                f"{value!r}; expected one number, one for each "
                f"axis{' or one for each side' if name == 'pad' else ''}",
            )
