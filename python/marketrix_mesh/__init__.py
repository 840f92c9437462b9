"""Marketrix Mesh for Python: the reference peer of docs/marketrix-protocol.md (Python 3.8+, asyncio, h2, redis)."""
from .errors import MarketrixError
from .framing import FrameDecoder, encode_frame
from .peer import CallContext, MeshPeer, PeerStream

__all__ = ["CallContext", "FrameDecoder", "MarketrixError", "MeshPeer", "PeerStream", "encode_frame"]
