"""Frames: a 4-byte length, then that many bytes of JSON text in UTF-8."""
from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Iterator, Union

from .errors import MarketrixError

MAX_FRAME = 16 * 1024 * 1024
MAX_NESTING = 128
MAX_INTEGER = 2**53 - 1
_ESCAPED = re.compile(r"\$+bytes\Z")


def _prepare(value: Any, allow_bytes: bool, depth: int) -> Any:
    """The value as ``json.dumps`` may take it."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        if value != value or not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise MarketrixError("invalid-message", f"number {value} is beyond 2^53")
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        if not allow_bytes:
            raise MarketrixError("invalid-message", "bytes need the envelope, a raw stream carries JSON only")
        return {"$bytes": base64.b64encode(value).decode()}
    if depth >= MAX_NESTING:
        raise MarketrixError("invalid-message", f"nested deeper than {MAX_NESTING}, or circular")
    if isinstance(value, dict):
        escape = "$" if allow_bytes and len(value) == 1 and _ESCAPED.match(str(next(iter(value)))) else ""
        return {f"{escape}{key}": _prepare(item, allow_bytes, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_prepare(item, allow_bytes, depth + 1) for item in value]
    raise MarketrixError("invalid-message", f"{type(value).__name__} has no JSON form")


def _restore(value: Any, allow_bytes: bool, depth: int) -> Any:
    """Checks the nesting of a received value and puts bytes back in place."""
    if not isinstance(value, (dict, list)):
        return value
    if depth > MAX_NESTING:
        raise MarketrixError("protocol", f"nested deeper than {MAX_NESTING}")
    if isinstance(value, list):
        return [_restore(item, allow_bytes, depth + 1) for item in value]
    fields = {key: _restore(item, allow_bytes, depth + 1) for key, item in value.items()}
    if not allow_bytes or len(fields) != 1:
        return fields
    key, item = next(iter(fields.items()))
    if key == "$bytes":
        try:
            return base64.b64decode(item, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise MarketrixError("protocol", "$bytes is not base64") from error
    return {key[1:]: item} if _ESCAPED.match(key) else fields


def to_json(value: Any, allow_bytes: bool = False) -> bytes:
    """JSON text of a value. Raises ``invalid-message``."""
    prepared = _prepare(value, allow_bytes, 0)
    text = json.dumps(prepared, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair goes as an escape
        return json.dumps(prepared, separators=(",", ":"), allow_nan=False).encode("ascii")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def from_json(text: bytes, allow_bytes: bool = False) -> Any:
    """Value of a JSON text. Raises ``protocol``."""
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MarketrixError("protocol", "frame is not JSON in UTF-8") from error
    return _restore(value, allow_bytes, 1)


def encode_frame(value: Any, endian: str = "big", max_frame: int = MAX_FRAME, allow_bytes: bool = False) -> bytes:
    """One message as a frame. Raises ``invalid-message`` or ``frame-too-large``."""
    text = to_json(value, allow_bytes)
    if len(text) > max_frame:
        raise MarketrixError("frame-too-large", f"frame of {len(text)} bytes, the limit is {max_frame}")
    return len(text).to_bytes(4, endian) + text  # type: ignore[arg-type]


class FrameDecoder:
    """Takes bytes as they arrive, split or merged at any point, and gives messages."""

    def __init__(self, endian: str = "big", max_frame: int = MAX_FRAME, allow_bytes: bool = False):
        self._endian, self._max_frame, self._allow_bytes = endian, max_frame, allow_bytes
        self._buffer = bytearray()

    def push(self, data: Union[bytes, bytearray]) -> Iterator[Any]:
        """Gives every message that is complete. Raises ``protocol`` or ``frame-too-large``."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= 4:
                length = int.from_bytes(buffer[at : at + 4], self._endian)  # type: ignore[arg-type]
                if length > self._max_frame:
                    raise MarketrixError("frame-too-large", f"frame of {length} bytes, the limit is {self._max_frame}")
                end = at + 4 + length
                if end > len(buffer):
                    break
                text = bytes(buffer[at + 4 : end])
                at = end
                if length > 0:  # an empty frame keeps the connection alive
                    yield from_json(text, self._allow_bytes)
        finally:
            del buffer[:at]

    def end(self) -> None:
        """Says that no more bytes come. Raises ``protocol`` when a frame is incomplete."""
        if self._buffer:
            raise MarketrixError("protocol", "truncated frame")
