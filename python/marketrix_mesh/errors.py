"""The one error class of the mesh."""
from __future__ import annotations

from typing import Any, Optional


class MarketrixError(Exception):
    """A failure with a ``kind`` to branch on; the kinds are those of docs/marketrix-protocol.md."""

    def __init__(self, kind: str, text: str, code: Optional[str] = None, data: Any = None):
        super().__init__(f"marketrix: {kind}: {text}")
        self.kind = kind
        self.text = text
        self.code = code
        self.data = data
