"""A peer: found by its service name through Redis, spoken to directly over HTTP/2."""
from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import json
import os
import random
import re
import socket
import ssl
import time
import uuid
from typing import Any, AsyncGenerator, AsyncIterator, Awaitable, Callable, Dict, List, Optional, Set, Tuple

from .data import Namespace
from .discovery import Discovery, Record
from .errors import MarketrixError
from .framing import MAX_FRAME
from .http2 import FrameStream, Headers, Http2Connection

PATH = "/mesh/v1"
CONTENT_TYPE = "application/vnd.mesh+json-frames"
HELLO = {"t": "hello", "v": 1, "features": []}
INPUT_STREAMS, OUTPUT_STREAMS = 1, 2
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ERROR_KINDS = ("no-method", "timeout", "cancelled", "overloaded", "unavailable")


def _own_address() -> str:
    with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; chooses the interface
        return probe.getsockname()[0]
    return "127.0.0.1"


class PeerStream:
    """Messages both ways, in order."""

    def __init__(self, stream: FrameStream, remote: Tuple[str, str], first: Any = None):
        self.remote_service, self.remote_instance = remote
        self._stream = stream
        self._first = first

    async def send(self, message: Any) -> None:
        await self._stream.send({"t": "msg", "d": message} if self._stream.envelope else message)

    async def end(self) -> None:
        """Says that nothing more will be sent. Reading goes on."""
        await self._stream.end()

    def close(self) -> None:
        """Ends both directions at once."""
        self._stream.reset()

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first.get("d")
        async for frame in self._stream:
            if not self._stream.envelope:
                yield frame
            elif _frame(frame)["t"] == "msg":
                yield frame.get("d")


class CallContext:
    """What a handler knows about the call."""

    def __init__(self, method: str, remote: Tuple[str, str], headers: Dict[str, str]):
        self.method, self.headers = method, headers
        self.remote_service, self.remote_instance = remote


class ServiceProxy:
    """A service as if it were an object here: every method is a call."""

    def __init__(self, peer: "MeshPeer", name: str):
        self._peer, self._name = peer, name

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        return lambda *args: self._peer.call(self._name, method, args[0] if len(args) == 1 else list(args))


def _frame(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("t"), str):
        raise MarketrixError("protocol", "frame without `t` on a stream with envelopes")
    return value


def _remote_error(error: Dict[str, Any]) -> MarketrixError:
    code = error.get("code", "handler")
    kind = code if code in _ERROR_KINDS else "handler"
    return MarketrixError(kind, error.get("message", "failed"), code, error.get("data"))


class MeshPeer:
    """A member of the mesh. Use ``await MeshPeer.join(service=...)``."""

    def __init__(self, service: str, instance: Optional[str] = None, redis_url: str = "redis://127.0.0.1:6379",
                 key_prefix: str = "mesh", host: str = "0.0.0.0", port: int = 0, advertise_host: Optional[str] = None,
                 ttl_ms: int = 15000, weight: int = 1, meta: Optional[Dict[str, str]] = None,
                 token: Optional[str] = None, endian: str = "big", envelope: bool = True,
                 connect_timeout: float = 5.0, call_timeout: float = 30.0, drain_seconds: float = 5.0,
                 server_tls: Optional[ssl.SSLContext] = None, client_tls: Optional[ssl.SSLContext] = None):
        self.service = service
        self.instance = instance or str(uuid.uuid4())
        for name in (self.service, self.instance):
            if not _NAME.match(name):
                raise MarketrixError("invalid-options", f"{name!r} is no name")
        self.port = port
        self.discovery = Discovery(redis_url, key_prefix, ttl_ms)
        self._host, self._advertise = host, advertise_host or os.environ.get("MESH_ADVERTISE_HOST") or _own_address()
        self._weight, self._meta, self._token = weight, meta or {}, token
        self._endian, self._envelope = endian, envelope
        self._connect_timeout, self._call_timeout, self._drain = connect_timeout, call_timeout, drain_seconds
        self._server_tls, self._client_tls = server_tls, client_tls
        for context in (server_tls, client_tls):
            if context:
                context.set_alpn_protocols(["h2"])
        self._server: Optional[asyncio.AbstractServer] = None
        self._inbound: Set[Http2Connection] = set()
        self._links: Dict[str, Http2Connection] = {}
        self._dialling: Dict[str, "asyncio.Future[Http2Connection]"] = {}
        self._handlers: Dict[str, Callable[..., Any]] = {}
        self._on_connection: Optional[Callable[[PeerStream], Awaitable[None]]] = None
        self._subscribers: Dict[str, List[Callable[[Any, Dict[str, str]], Any]]] = {}
        self._event_streams: Dict[str, FrameStream] = {}
        self._tasks: Set["asyncio.Task[Any]"] = set()
        self._serving = 0
        self._started = time.monotonic()
        self._leaving = False

    @classmethod
    async def join(cls, service: str, **options: Any) -> "MeshPeer":
        """Listening and registered when it returns."""
        peer = cls(service, **options)
        loop = asyncio.get_event_loop()
        peer._server = await loop.create_server(peer._accept, peer._host, peer.port, ssl=peer._server_tls)
        peer.port = peer._server.sockets[0].getsockname()[1]
        try:
            await peer.discovery.register({
                "v": 1, "service": service, "instance": peer.instance, "host": peer._advertise, "port": peer.port,
                "proto": "h2" if peer._server_tls else "h2c", "path": PATH, "lang": "python", "weight": peer._weight,
                "health": "ok", "load": 0.0, "startedAt": int(time.time() * 1000), "seq": 0, "meta": peer._meta,
            })
        except MarketrixError:
            peer._server.close()
            await peer.discovery.close()
            raise
        return peer

    async def leave(self) -> None:
        """Deregisters, waits for open calls, closes."""
        if self._leaving:
            return
        self._leaving = True
        await self.discovery.leave()
        if self._server:
            self._server.close()
        for connection in self._inbound:
            for stream in list(connection.streams.values()):
                if stream.envelope and not stream._ending:
                    self._spawn(stream.send({"t": "bye", "why": "leaving"}))
        end = time.monotonic() + self._drain
        while self._serving and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in [*self._inbound, *self._links.values()]:
            connection.close()
        for task in self._tasks:
            task.cancel()
        await self.discovery.close()

    async def set_health(self, health: str, reason: Optional[str] = None) -> None:
        """Publishes ``ok``, ``degraded`` (chosen when nothing else is left) or ``down`` (never chosen)."""
        record = self.discovery.record
        if health not in ("ok", "degraded", "down") or record is None:
            raise MarketrixError("invalid-options", f"health {health!r}")
        record["health"] = health
        record.pop("reason", None)
        if reason is not None:
            record["reason"] = reason
        await self.discovery.write(changed=True)

    # --- streams

    def on_connection(self, fn: Callable[[PeerStream], Awaitable[None]]) -> Callable[[PeerStream], Awaitable[None]]:
        """Calls ``fn`` with every stream that others open. May be used as a decorator."""
        self._on_connection = fn
        return fn

    async def connect(self, service: str, instance: Optional[str] = None) -> PeerStream:
        """Opens a stream of messages."""
        stream, remote = await self._open(service, "stream", instance)
        return PeerStream(stream, remote)

    # --- calls

    def handle(self, method: str, fn: Callable[..., Any]) -> None:
        """Implements a method: ``fn(input, ctx)``, a function, coroutine function or async generator function.

        ``input`` is an async iterator when the caller streams its input.
        """
        self._handlers[method] = fn

    async def call(self, service: str, method: str, input: Any = None, timeout: Optional[float] = None,
                   headers: Optional[Dict[str, str]] = None, instance: Optional[str] = None) -> Any:
        """Calls a method and waits for its result. An async iterable as input is streamed."""
        limit = self._call_timeout if timeout is None else timeout

        async def run() -> Any:
            results = self._run(service, method, input, 0, limit, headers, instance)
            try:
                return await results.__anext__()
            finally:
                await results.aclose()

        try:
            return await asyncio.wait_for(run(), limit)
        except asyncio.TimeoutError:
            raise MarketrixError("timeout", f"{service}.{method}: no result after {limit} s") from None

    def stream(self, service: str, method: str, input: Any = None, headers: Optional[Dict[str, str]] = None,
               instance: Optional[str] = None) -> AsyncIterator[Any]:
        """Calls a method that gives many results. An async iterable as input is streamed."""
        return self._run(service, method, input, OUTPUT_STREAMS, None, headers, instance)

    def service_proxy(self, name: str) -> ServiceProxy:
        return ServiceProxy(self, name)

    async def _run(self, service: str, method: str, input: Any, streams: int, limit: Optional[float],
                   headers: Optional[Dict[str, str]], instance: Optional[str]) -> AsyncGenerator[Any, None]:
        if hasattr(input, "__aiter__"):
            streams |= INPUT_STREAMS
        stream, _ = await self._open(service, "call", instance)
        feeding: Optional["asyncio.Task[Any]"] = None
        done = False
        try:
            if not stream.envelope:
                raise MarketrixError("protocol", f"{service} speaks raw frames only")
            request: Dict[str, Any] = {"t": "req", "id": 1, "m": method}
            if streams:
                request["s"] = streams
            if limit is not None:
                request["dl"] = int(self.discovery.now_ms() + limit * 1000)
            if headers:
                request["h"] = headers
            if not streams & INPUT_STREAMS:
                request["d"] = input
            await stream.send(HELLO)
            await stream.send(request)
            if streams & INPUT_STREAMS:
                feeding = self._spawn(self._feed(stream, input))
            else:
                await stream.end()
            async for value in stream:
                frame = _frame(value)
                if frame["t"] in ("res", "out"):
                    done = frame["t"] == "res"
                    yield frame.get("d")
                elif frame["t"] == "err":
                    done = True
                    raise _remote_error(frame.get("e") or {})
                elif frame["t"] == "outend":
                    done = True
                elif frame["t"] == "bye":
                    stream.connection.draining = True
                if done:
                    return
            raise MarketrixError("protocol", f"{service}.{method} ended without a result")
        finally:
            if feeding:
                feeding.cancel()
            if not done or not stream._end_sent:
                stream.reset()

    @staticmethod
    async def _feed(stream: FrameStream, items: Any) -> None:
        async for item in items:
            await stream.send({"t": "in", "id": 1, "d": item})
        await stream.send({"t": "inend", "id": 1})
        await stream.end()

    # --- events

    async def publish(self, topic: str, data: Any) -> int:
        """Sends an event to every live subscriber; gives the number reached."""
        event = {"t": "ev", "topic": topic, "d": data, "from": {"service": self.service, "instance": self.instance}}
        reached = 0
        for member in await self.discovery.subscribers(topic):
            if member == f"{self.service}/{self.instance}":
                await self._dispatch(event)
            else:
                try:
                    stream = self._event_streams.get(member)
                    if stream is None or stream.closed.is_set():
                        service, _, instance = member.partition("/")
                        stream, _ = await self._open(service, "events", instance)
                        await stream.send(HELLO)
                        self._event_streams[member] = stream
                    await stream.send(event)
                except MarketrixError:
                    continue
            reached += 1
        return reached

    async def subscribe(self, topic: str, fn: Callable[[Any, Dict[str, str]], Any]) -> None:
        """Calls ``fn(data, sender)`` with each event of the topic."""
        self._subscribers.setdefault(topic, []).append(fn)
        self.discovery.topics.add(topic)
        await self.discovery.write()

    async def _dispatch(self, frame: Dict[str, Any]) -> None:
        for fn in self._subscribers.get(frame.get("topic", ""), []):
            result = fn(frame.get("d"), frame.get("from") or {})
            if inspect.isawaitable(result):
                await result

    # --- shared values

    def data(self, namespace: str) -> Namespace:
        return Namespace(self.discovery, f"{self.service}/{self.instance}", namespace)

    # --- dialling

    async def _open(self, service: str, use: str, instance: Optional[str]) -> Tuple[FrameStream, Tuple[str, str]]:
        if self._leaving:
            raise MarketrixError("closed", "the peer has left")
        records = [r for r in await self.discovery.instances(service) if instance in (None, r["instance"])]
        if not records:
            raise MarketrixError("no-instance", f"no live instance of {service}")
        error: Optional[MarketrixError] = None
        for record in self._candidates(records):
            try:
                return await asyncio.wait_for(self._handshake(record, use), self._connect_timeout)
            except asyncio.TimeoutError:
                error = MarketrixError("connect", f"{service}/{record['instance']}: no answer")
            except MarketrixError as failed:
                if failed.kind not in ("connect", "unavailable", "connection-lost") and failed.code != "503":
                    raise
                error = failed
        raise error or MarketrixError("unavailable", f"no instance of {service} takes streams now")

    def _candidates(self, records: List[Record]) -> List[Record]:
        """Instances in the order in which to try them: at random by weight, this one last."""
        usable = [r for r in records if r.get("health") != "down"]
        chosen = [r for r in usable if r.get("health", "ok") == "ok"] or usable
        chosen.sort(key=lambda r: random.random() ** (1 / max(1, r.get("weight", 1))), reverse=True)
        return sorted(chosen, key=lambda r: (r["service"], r["instance"]) == (self.service, self.instance))

    async def _handshake(self, record: Record, use: str) -> Tuple[FrameStream, Tuple[str, str]]:
        connection = await self._link(record)
        headers = [
            (":method", "POST"), (":scheme", "https" if record.get("proto") == "h2" else "http"),
            (":authority", f"{record['host']}:{record['port']}"), (":path", record.get("path", PATH)),
            ("content-type", CONTENT_TYPE), ("x-mesh-version", "1"), ("x-mesh-service", self.service),
            ("x-mesh-instance", self.instance), ("x-mesh-target", record["service"]),
            ("x-mesh-envelope", "1" if self._envelope else "0"), ("x-mesh-endian", self._endian),
            ("x-mesh-max-frame", str(MAX_FRAME)), ("x-mesh-use", use),
        ]
        if self._token:
            headers.append(("authorization", f"Bearer {self._token}"))
        stream = connection.open(headers)
        try:
            answer = await stream.headers
        except asyncio.CancelledError:
            stream.reset()
            raise
        status = answer.get(":status")
        if status != "200":
            while not stream._ended and not stream.closed.is_set():
                stream._arrival.clear()
                await stream._arrival.wait()
            stream.reset()
            reason: Dict[str, Any] = {}
            with contextlib.suppress(ValueError, AttributeError):
                reason = json.loads(bytes(stream.body)).get("error", {})
            kind = "connect" if reason.get("code") == "wrong-target" else "rejected"
            raise MarketrixError(kind, f"{status} {reason.get('message', 'refused')}", str(status), reason)
        remote = (answer.get("x-mesh-service", record["service"]), answer.get("x-mesh-instance", record["instance"]))
        if remote != (record["service"], record["instance"]):
            connection.close()  # the record outlived its process and somebody else has the port now
            raise MarketrixError("connect", f"{record['host']}:{record['port']} is {remote[0]}/{remote[1]} now")
        envelope = self._envelope and answer.get("x-mesh-envelope") == "1"
        stream.start(envelope, self._endian, int(answer.get("x-mesh-max-frame", MAX_FRAME)))
        return stream, remote

    async def _link(self, record: Record) -> Http2Connection:
        """The connection to an instance; everybody who asks while it is dialled shares it."""
        key = f"{record['service']}/{record['instance']}"
        link = self._links.get(key)
        if link and not link.lost.is_set() and not link.draining:
            return link
        if key not in self._dialling:
            self._dialling[key] = asyncio.ensure_future(self._dial(record))
            self._dialling[key].add_done_callback(lambda done: (self._dialling.pop(key, None), done.exception()))
        self._links[key] = link = await asyncio.shield(self._dialling[key])
        return link

    async def _dial(self, record: Record) -> Http2Connection:
        tls = self._client_tls if record.get("proto") == "h2" else None
        try:
            _, protocol = await asyncio.get_event_loop().create_connection(
                lambda: Http2Connection(True), record["host"], record["port"], ssl=tls,
                server_hostname=record["host"] if tls else None)
        except OSError as error:
            raise MarketrixError("connect", f"{record['service']}/{record['instance']}: {error}") from error
        return protocol

    # --- listening

    def _accept(self) -> Http2Connection:
        connection = Http2Connection(False, self._requested)
        self._inbound.add(connection)
        self._spawn(connection.lost.wait()).add_done_callback(lambda _: self._inbound.discard(connection))
        return connection

    def _refusal(self, headers: Headers) -> Optional[Tuple[int, str, str]]:
        version, target = headers.get("x-mesh-version"), headers.get("x-mesh-target")
        if headers.get(":path") != PATH or headers.get(":method") != "POST":
            return 404, "not-found", f"only POST {PATH} is served"
        if self._token and not hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {self._token}".encode()):
            return 401, "unauthorized", "a valid bearer token is needed"
        if version not in (None, "1"):
            return 426, "version", "version 1 is spoken here"
        if version is not None and headers.get("content-type") != CONTENT_TYPE:
            return 415, "content-type", f"content-type must be {CONTENT_TYPE}"
        if target not in (None, self.service):
            return 404, "wrong-target", f"this is {self.service}"
        return (503, "draining", "this peer is leaving") if self._leaving else None

    def _requested(self, stream: FrameStream, headers: Headers) -> None:
        stream.headers.set_result(headers)
        connection = stream.connection
        if headers.get(":path") == f"{PATH}/health" and headers.get(":method") == "GET":
            health = (self.discovery.record or {}).get("health", "down")
            report = {"status": health, "service": self.service, "instance": self.instance,
                      "uptimeMs": round((time.monotonic() - self._started) * 1000), "inflight": self._serving}
            status = "503" if health == "down" else "200"
            connection.respond(stream.stream_id, [(":status", status), ("content-type", "application/json")],
                               json.dumps(report).encode())
            return
        refusal = self._refusal(headers)
        if refusal:
            status, code, message = refusal
            extra = {426: [("x-mesh-version", "1")], 503: [("retry-after-ms", "1000")]}.get(status, [])
            connection.respond(stream.stream_id, [(":status", str(status)), ("content-type", "application/json"), *extra],
                               json.dumps({"error": {"code": code, "message": message}}).encode())
            return
        envelope = self._envelope and "x-mesh-version" in headers and headers.get("x-mesh-envelope") == "1"
        # Headers go out before the other side has ended, else both would wait.
        connection.respond(stream.stream_id, [
            (":status", "200"), ("content-type", CONTENT_TYPE), ("x-mesh-version", "1"),
            ("x-mesh-service", self.service), ("x-mesh-instance", self.instance),
            ("x-mesh-envelope", "1" if envelope else "0"), ("x-mesh-max-frame", str(MAX_FRAME)),
        ])
        stream.start(envelope, headers.get("x-mesh-endian", self._endian), int(headers.get("x-mesh-max-frame", MAX_FRAME)))
        remote = (headers.get("x-mesh-service", "unknown"), headers.get("x-mesh-instance", ""))
        self._spawn(self._serve(stream, remote, headers.get("x-mesh-use") if envelope else "stream"))

    async def _serve(self, stream: FrameStream, remote: Tuple[str, str], use: Optional[str]) -> None:
        try:
            if use == "stream":
                await self._connected(PeerStream(stream, remote))
                return
            async for value in stream:
                frame = _frame(value)
                if frame["t"] == "req":
                    await self._serve_call(stream, remote, frame)
                    return
                if frame["t"] == "msg":
                    await self._connected(PeerStream(stream, remote, frame))
                    return
                if frame["t"] == "ev":
                    await self._dispatch(frame)
            await stream.end()
        except MarketrixError:
            stream.reset()  # the other side is gone, or sent what is no frame

    async def _connected(self, stream: PeerStream) -> None:
        if self._on_connection is None:
            stream.close()
        else:
            await self._on_connection(stream)

    async def _serve_call(self, stream: FrameStream, remote: Tuple[str, str], request: Dict[str, Any]) -> None:
        streams, deadline = request.get("s", 0), request.get("dl")
        limit = None if deadline is None else (deadline - self.discovery.now_ms()) / 1000
        inputs: "asyncio.Queue[Any]" = asyncio.Queue(64)
        cancelled = asyncio.Event()
        self._serving += 1

        async def items() -> AsyncIterator[Any]:
            while True:
                frame = await inputs.get()
                if frame is None:
                    return
                yield frame.get("d")

        async def read() -> None:
            try:
                async for value in stream:
                    frame = _frame(value)
                    if frame["t"] == "in":
                        await inputs.put(frame)
                    elif frame["t"] == "inend":
                        await inputs.put(None)
                    elif frame["t"] == "cancel":
                        break
                else:
                    await inputs.put(None)
                    await stream.closed.wait()
            except MarketrixError:
                pass
            cancelled.set()

        async def answer() -> None:
            handler = self._handlers.get(request.get("m", ""))
            if handler is None:
                raise MarketrixError("no-method", f"no method {request.get('m')}", "no-method")
            input = items() if streams & INPUT_STREAMS else request.get("d")
            result = handler(input, CallContext(request["m"], remote, request.get("h") or {}))
            if inspect.isawaitable(result):
                result = await result
            if hasattr(result, "__aiter__"):
                if not streams & OUTPUT_STREAMS:
                    raise MarketrixError("handler", f"{request['m']} streams its output: use stream")
                async for item in result:
                    await stream.send({"t": "out", "id": 1, "d": item})
            elif streams & OUTPUT_STREAMS:
                await stream.send({"t": "out", "id": 1, "d": result})
            else:
                await stream.send({"t": "res", "id": 1, "d": result})
                return
            await stream.send({"t": "outend", "id": 1})

        reading = self._spawn(read())
        answering = asyncio.ensure_future(answer())
        stop = asyncio.ensure_future(cancelled.wait())
        try:
            await stream.send(HELLO)
            await asyncio.wait({answering, stop}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                error = answering.exception()
            else:
                word = "cancelled" if stop.done() else "timeout"
                error = MarketrixError(word, f"{request.get('m')}: {word}", word)
                answering.cancel()
            if error is not None:
                await stream.send({"t": "err", "id": 1, "e": self._wire_error(error)})
            await stream.end()
        finally:
            self._serving -= 1
            reading.cancel()
            stop.cancel()

    @staticmethod
    def _wire_error(error: BaseException) -> Dict[str, Any]:
        if not isinstance(error, MarketrixError):
            return {"code": "handler", "message": str(error)}
        wire = {"code": error.code or "handler", "message": error.text}
        if error.data is not None:
            wire["data"] = error.data
        return wire

    def _spawn(self, work: Any) -> "asyncio.Task[Any]":
        async def run() -> Any:
            try:
                return await work
            except MarketrixError:
                return None  # told where it matters: the stream has failed

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
