"""A Python peer for the tests: serves methods, and calls what it is told to (method `drive`)."""
import asyncio
import json
import signal
import ssl
import sys

from marketrix_mesh import MarketrixError, MeshPeer


async def count(to, ctx):
    for i in range(to):
        yield i


async def total(numbers, ctx):
    return sum([n async for n in numbers])


async def double(numbers, ctx):
    async for n in numbers:
        yield n * 2


async def broken(_, ctx):
    yield 1
    raise ValueError("half way")


def typed(_, ctx):
    raise MarketrixError("handler", "sold out", "SOLD_OUT", {"left": 0})


def fail(_, ctx):
    raise ValueError("no such order")


async def main() -> None:
    options = json.loads(sys.argv[1])
    tls = options.pop("tls", None)
    if tls:
        options["server_tls"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["server_tls"].load_cert_chain(tls["cert"], tls["key"])
        options["client_tls"] = ssl.create_default_context(cafile=tls["cert"])
    peer = await MeshPeer.join(**options)
    told = []
    started = []
    events = []

    async def hang(_, ctx):
        started.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            told.append("stopped")

    @peer.on_connection
    async def echo(stream):
        async for message in stream:
            await stream.send(message)
        await stream.end()

    async def numbers(to):
        for i in range(to):
            yield i

    async def drive(order, ctx):
        op = order["op"]
        try:
            if op == "call":
                return await peer.call(order["service"], order["method"], order.get("input"), order.get("timeout"))
            if op == "proxy":
                return await getattr(peer.service_proxy(order["service"]), order["method"])(*order["args"])
            if op == "stream":
                return [x async for x in peer.stream(order["service"], order["method"], order.get("input"))]
            if op == "double":
                return [x async for x in peer.stream(order["service"], order["method"], numbers(order["to"]))]
            if op == "sum":
                return await peer.call(order["service"], order["method"], numbers(order["to"]))
            if op == "echo":
                stream = await peer.connect(order["service"])
                async def send():
                    for i in range(order["count"]):
                        await stream.send({"text": f"Message from Python #{i}"})
                    await stream.end()
                sending = asyncio.ensure_future(send())
                at = 0
                async for message in stream:
                    assert message == {"text": f"Message from Python #{at}"}, message
                    at += 1
                await sending
                return at
            if op == "publish":
                return await peer.publish(order["topic"], order["data"])
            if op == "subscribe":
                return await peer.subscribe(order["topic"], lambda data, sender: events.append([data, sender["service"]]))
            if op == "events":
                return events
            if op == "started":
                return len(started)
            if op == "told":
                return told
            if op == "health":
                return await peer.set_health(order["health"], order.get("reason"))
            if op == "instances":
                return await peer.discovery.instances(order["service"], fresh=True)
            data = peer.data("shared")
            if op == "set":
                return await data.set(order["key"], order["value"], if_version=order.get("if_version"))
            if op == "get":
                entry = await data.get(order["key"])
                return None if entry is None else [entry.value, entry.version, entry.by]
            if op == "keys":
                return await data.keys(order["prefix"])
            if op == "del":
                return await data.delete(order["key"])
        except MarketrixError as error:
            return {"kind": error.kind, "code": error.code, "data": error.data, "text": error.text}
        raise ValueError(f"unknown op {op}")

    for name, fn in {"count": count, "sum": total, "double": double, "broken": broken, "typed": typed, "fail": fail,
                     "hang": hang, "drive": drive, "add": lambda pair, ctx: pair[0] + pair[1],
                     "same": lambda value, ctx: value, "nothing": lambda value, ctx: None,
                     "who": lambda _, ctx: [ctx.remote_service, ctx.method, ctx.headers]}.items():
        peer.handle(name, fn)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_event_loop().add_signal_handler(number, stop.set)
    print("ready", flush=True)
    await stop.wait()
    await peer.leave()


asyncio.run(main())
