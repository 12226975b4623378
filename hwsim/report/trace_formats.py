"""Slices and counters of a timeline as Chrome's trace events and as Perfetto's protobuf.

Chrome: "Trace Event Format", Google, 2016; times in microseconds. Perfetto: the messages Trace,
TracePacket, TrackDescriptor and TrackEvent of protos/perfetto/trace, whose field numbers stand
below; times in nanoseconds. Perfetto reads both; its own is a third of the size and has counters
with units.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = str | int


@dataclass(frozen=True)
class Slice:
    """Something on a row that lasts from begin to end, in microseconds."""

    row: str
    name: str
    begin: float
    end: float
    about: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """A counter's value from a time on, in microseconds."""

    row: str
    unit: str
    time: float
    value: float


def chrome(name: str, events: Sequence[Slice | Count]) -> str:
    """JSON that Perfetto and chrome://tracing open. Rows are threads, in the order they come."""
    rows: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Count):
            about = {"value": event.value}
            time = round(event.time, 6)
            found.append({"name": event.row, "ph": "C", "pid": 1, "ts": time, "args": about})
            continue
        row = rows.setdefault(event.row, len(rows))
        begin, length = round(event.begin, 6), round(event.end - event.begin, 6)
        span = {"ph": "X", "pid": 1, "tid": row, "ts": begin, "dur": length}
        found.append({"name": event.name, **span, "args": dict(event.about)})
    names: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": name}}
    ]
    names += [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": text}}
        for text, row in rows.items()
    ]
    return json.dumps({"traceEvents": [*names, *found], "displayTimeUnit": "ns"}) + "\n"


# Field numbers of Perfetto's messages
PACKET = 1  # Trace
TIMESTAMP, SEQUENCE, TRACK_EVENT, TRACK_DESCRIPTOR = 8, 10, 11, 60  # TracePacket
UUID, TRACK_NAME, PROCESS, PARENT, COUNTER = 1, 2, 3, 5, 8  # TrackDescriptor
PID, PROCESS_NAME = 1, 6  # ProcessDescriptor
UNIT_NAME = 6  # CounterDescriptor
ANNOTATION, TYPE, TRACK, EVENT_NAME, DOUBLE_VALUE = 4, 9, 11, 23, 44  # TrackEvent
INT_VALUE, STRING_VALUE, ANNOTATION_NAME = 4, 6, 10  # DebugAnnotation
SLICE_BEGIN, SLICE_END, COUNT = 1, 2, 4  # TrackEvent.Type
WHOLE, SEQUENCE_ID = 1, 1  # the process' track; the one writer of packets


def perfetto(name: str, events: Sequence[Slice | Count]) -> bytes:
    """Perfetto's native trace: a track for each row, a counter track for each counter."""
    tracks: dict[str, int] = {}
    process = _number(PID, 1) + _text(PROCESS_NAME, name)
    packets = [
        _packet(_message(TRACK_DESCRIPTOR, _number(UUID, WHOLE) + _message(PROCESS, process)))
    ]
    body: list[bytes] = []
    for event in events:
        if event.row not in tracks:
            tracks[event.row] = WHOLE + 1 + len(tracks)
            packets.append(_packet(_message(TRACK_DESCRIPTOR, _track(event, tracks[event.row]))))
        body += _packets(event, tracks[event.row])
    return b"".join([*packets, *body])


def _track(event: Slice | Count, uuid: int) -> bytes:
    own = _number(UUID, uuid) + _text(TRACK_NAME, event.row) + _number(PARENT, WHOLE)
    if isinstance(event, Slice):
        return own
    return own + _message(COUNTER, _text(UNIT_NAME, event.unit))


def _packets(event: Slice | Count, track: int) -> list[bytes]:
    """Begin and end of a slice, or a counter's value."""
    on = _number(TRACK, track)
    if isinstance(event, Count):
        value = _tag(DOUBLE_VALUE, 1) + struct.pack("<d", event.value)
        return [_at(event.time, _number(TYPE, COUNT) + on + value)]
    about = b"".join(
        _message(ANNOTATION, _text(ANNOTATION_NAME, key) + _value(value))
        for key, value in event.about.items()
    )
    begun = _number(TYPE, SLICE_BEGIN) + on + _text(EVENT_NAME, event.name) + about
    return [_at(event.begin, begun), _at(event.end, _number(TYPE, SLICE_END) + on)]


def _at(microseconds: float, event: bytes) -> bytes:
    return _packet(_number(TIMESTAMP, round(microseconds * 1e3)) + _message(TRACK_EVENT, event))


def _packet(content: bytes) -> bytes:
    return _message(PACKET, content + _number(SEQUENCE, SEQUENCE_ID))


def _value(value: Value) -> bytes:
    if isinstance(value, int):
        return _number(INT_VALUE, value)
    return _text(STRING_VALUE, value)


# Protocol Buffers' wire format: a field is its number and wire type, then its content


def _number(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode("utf-8", "backslashreplace"))


def _message(number: int, content: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(content)) + content


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
