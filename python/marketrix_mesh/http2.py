"""HTTP/2 over asyncio: connections that carry streams of frames, on top of the sans-I/O library h2."""
from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import Any, AsyncIterator, Callable, Deque, Dict, List, Optional, Tuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .errors import MarketrixError
from .framing import MAX_FRAME, FrameDecoder, encode_frame

STREAM_WINDOW = 1024 * 1024
CONNECTION_WINDOW = 16 * 1024 * 1024
MAX_QUEUED = 1024 * 1024
"""``send`` waits while more than this is queued on a stream."""
MESSAGES_PER_TURN = 256
Headers = Dict[str, str]


class FrameStream:
    """One stream of HTTP/2 that carries frames both ways."""

    def __init__(self, connection: "Http2Connection", stream_id: int):
        self.connection = connection
        self.stream_id = stream_id
        self.endian = "big"
        self.envelope = False
        self.max_frame = MAX_FRAME
        self.headers: "asyncio.Future[Headers]" = connection.loop.create_future()
        self.headers.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.closed = asyncio.Event()
        self.body = bytearray()
        self._decoder: Optional[FrameDecoder] = None
        self._messages: Deque[Tuple[Any, int]] = collections.deque()
        self._early: List[Tuple[bytes, int]] = []
        self._arrival = asyncio.Event()
        self._ended = False
        self._error: Optional[MarketrixError] = None
        self._out = bytearray()
        self._room = asyncio.Event()
        self._ending = False
        self._end_sent = False
        self._scheduled = False
        self._since_turn = 0

    def start(self, envelope: bool, endian: str, max_frame: int) -> None:
        """The handshake succeeded: what arrives from now on is frames."""
        self.envelope, self.endian = envelope, endian
        self.max_frame = min(MAX_FRAME, max_frame)
        self._decoder = FrameDecoder(endian, MAX_FRAME, envelope)
        early, self._early = self._early, []
        for data, size in early:
            self.data_received(data, size)
        if self._ended:
            self._check_end()

    # --- sending

    async def send(self, message: Any) -> None:
        """Queues one frame; waits while much is queued."""
        frame = encode_frame(message, self.endian, self.max_frame, self.envelope)
        while len(self._out) > MAX_QUEUED and not self._error:
            self._room.clear()
            await self._room.wait()
        if self._error:
            raise self._error
        if self._ending:
            raise MarketrixError("closed", "send after end")
        self._out += frame
        self._schedule()
        self._since_turn += 1
        if self._since_turn >= MESSAGES_PER_TURN:
            self._since_turn = 0
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Says that nothing more will be sent."""
        self._ending = True
        self.pump()
        while not self._end_sent and not self._error:
            self._room.clear()
            await self._room.wait()

    def reset(self, error: Optional[MarketrixError] = None, code: int = h2.errors.ErrorCodes.CANCEL) -> None:
        """Ends both directions at once."""
        self.connection.reset(self.stream_id, code)
        self.fail(error or MarketrixError("closed", "the stream is closed"))

    def _schedule(self) -> None:
        # One pump per turn of the event loop merges small messages into few DATA frames.
        if not self._scheduled:
            self._scheduled = True
            self.connection.loop.call_soon(self.pump)

    def pump(self) -> None:
        """Hands over what the flow-control windows allow."""
        self._scheduled = False
        if self._error or self._end_sent:
            return
        h2c = self.connection.h2
        try:
            while self._out and not self.connection.paused:
                size = min(len(self._out), h2c.local_flow_control_window(self.stream_id), h2c.max_outbound_frame_size)
                if size <= 0:
                    break
                h2c.send_data(self.stream_id, bytes(self._out[:size]))
                del self._out[:size]
            if self._ending and not self._out:
                h2c.end_stream(self.stream_id)
                self._end_sent = True
        except h2.exceptions.ProtocolError:
            self.fail(MarketrixError("connection-lost", "the stream is gone"))
        self.connection.flush()
        if len(self._out) <= MAX_QUEUED // 2:
            self._room.set()
        self._finish()

    # --- receiving

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            while not self._messages:
                if self._error:
                    raise self._error
                if self._ended:
                    return
                self._arrival.clear()
                await self._arrival.wait()
            message, size = self._messages.popleft()
            # The window is given back as the reader takes messages: a slow reader slows the sender down.
            self.connection.acknowledge(self.stream_id, size)
            yield message

    def data_received(self, data: bytes, size: int) -> None:
        if self._decoder is None:
            if self.headers.done():  # the body of a refusal
                self.body += data
                self.connection.acknowledge(self.stream_id, size)
            else:
                self._early.append((data, size))
            return
        try:
            messages = list(self._decoder.push(data))
        except MarketrixError as error:
            large = error.kind == "frame-too-large"
            codes = h2.errors.ErrorCodes
            self.reset(error, codes.ENHANCE_YOUR_CALM if large else codes.PROTOCOL_ERROR)
            return
        if not messages:  # a frame larger than the window completes only if the window moves on
            self.connection.acknowledge(self.stream_id, size)
            return
        self._messages.extend((message, 0) for message in messages[:-1])
        self._messages.append((messages[-1], size))
        self._arrival.set()

    def end_received(self) -> None:
        self._ended = True
        self._check_end()

    def _check_end(self) -> None:
        try:
            if self._decoder is not None:
                self._decoder.end()
        except MarketrixError as error:
            self.reset(error, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        self._arrival.set()
        self._finish()

    def fail(self, error: MarketrixError) -> None:
        """Nothing more goes either way. Messages that arrived before can still be read."""
        if not self._error and not (self._ended and self._end_sent):
            self._error = error
        if not self.headers.done():
            self.headers.set_exception(error)
        self._out.clear()
        self._arrival.set()
        self._room.set()
        self.connection.streams.pop(self.stream_id, None)
        self.closed.set()

    def _finish(self) -> None:
        if self._ended and self._end_sent:
            self.connection.streams.pop(self.stream_id, None)
            self.closed.set()


class Http2Connection(asyncio.Protocol):
    """One TCP connection. ``on_stream(stream, headers)`` is called for every stream that the other side opens."""

    def __init__(self, client: bool, on_stream: Optional[Callable[[FrameStream, Headers], None]] = None,
                 ping_seconds: float = 10.0, ping_timeout: float = 5.0):
        self.loop = asyncio.get_event_loop()
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=client, initial_values={
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16 * 1024,
        })
        self.streams: Dict[int, FrameStream] = {}
        self.draining = False
        self.lost = asyncio.Event()
        self.paused = False
        self.remote: Optional[Headers] = None
        self._on_stream = on_stream
        self._transport: Optional[asyncio.Transport] = None
        self._ping = (ping_seconds, ping_timeout)
        self._pinger: Optional["asyncio.Task[None]"] = None
        self._silent = True
        self._pong = asyncio.Event()

    # --- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self.flush()
        self._pinger = self.loop.create_task(self._keep_alive())

    def data_received(self, data: bytes) -> None:
        self._silent = False
        state = self.h2.state_machine.state
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.close()
            return
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                # GOAWAY ends nothing but the opening of streams; the library would end the whole connection.
                self.draining = True
                self.h2.state_machine.state = state
            else:
                self._handle(event)
        self.flush()

    def connection_lost(self, exc: Optional[BaseException]) -> None:
        self.lost.set()
        if self._pinger:
            self._pinger.cancel()
        for stream in list(self.streams.values()):
            stream.fail(MarketrixError("connection-lost", "the connection broke"))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        for stream in list(self.streams.values()):
            stream.pump()

    # --- for streams

    def open(self, headers: List[Tuple[str, str]]) -> FrameStream:
        """Opens a stream with these request headers."""
        if self.lost.is_set() or self.draining:
            raise MarketrixError("unavailable", "the connection takes no new streams")
        stream = FrameStream(self, self.h2.get_next_available_stream_id())
        try:
            self.h2.send_headers(stream.stream_id, headers)
        except h2.exceptions.ProtocolError as error:
            raise MarketrixError("overloaded", str(error)) from error
        self.streams[stream.stream_id] = stream
        self.flush()
        return stream

    def respond(self, stream_id: int, headers: List[Tuple[str, str]], body: Optional[bytes] = None) -> None:
        """Sends response headers, and with a body the whole response."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self.h2.send_headers(stream_id, headers)
            if body is not None:
                self.h2.send_data(stream_id, body, end_stream=True)
        self.flush()

    def reset(self, stream_id: int, code: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self.h2.reset_stream(stream_id, error_code=code)
        self.flush()

    def acknowledge(self, stream_id: int, size: int) -> None:
        if size == 0 or self.lost.is_set():
            return
        with contextlib.suppress(h2.exceptions.ProtocolError, KeyError):
            self.h2.acknowledge_received_data(size, stream_id)
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Says goodbye and closes."""
        if self._transport and not self._transport.is_closing():
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self.h2.close_connection()
                self.flush()
            self._transport.close()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            stream = FrameStream(self, event.stream_id)
            self.streams[event.stream_id] = stream
            if self._on_stream:
                self._on_stream(stream, dict(event.headers))
            return
        if isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for stream in list(self.streams.values()):
                stream.pump()
            return
        if isinstance(event, h2.events.PingAckReceived):
            self._pong.set()
            return
        stream_id = getattr(event, "stream_id", None)
        known = self.streams.get(stream_id) if stream_id is not None else None
        if known is None:
            if isinstance(event, h2.events.DataReceived):
                # Data of a stream that was reset here still counts against the connection's window.
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return
        if isinstance(event, h2.events.ResponseReceived):
            if not known.headers.done():
                known.headers.set_result(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            known.data_received(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            known.end_received()
        elif isinstance(event, h2.events.StreamReset):
            kind = {h2.errors.ErrorCodes.REFUSED_STREAM: "unavailable",
                    h2.errors.ErrorCodes.ENHANCE_YOUR_CALM: "frame-too-large",
                    h2.errors.ErrorCodes.PROTOCOL_ERROR: "protocol"}.get(event.error_code, "connection-lost")
            known.fail(MarketrixError(kind, f"the other side reset the stream (code {int(event.error_code)})"))

    async def _keep_alive(self) -> None:
        interval, timeout = self._ping
        while True:
            self._silent = True
            await asyncio.sleep(interval)
            if not self._silent:
                continue
            self._pong.clear()
            self.h2.ping(b"marketrx")
            self.flush()
            try:
                await asyncio.wait_for(self._pong.wait(), timeout)
            except asyncio.TimeoutError:
                if self._transport:
                    self._transport.abort()
                return
