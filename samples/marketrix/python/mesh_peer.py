"""Registers python-peer, waits for a connection, then sends and receives in parallel.

    python mesh_peer.py [--count N] [--interval MS] [--redis URL] [--prefix KEYS]
"""
import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python"))

from marketrix_mesh import MarketrixError, MeshPeer  # noqa: E402


def log(text: str) -> None:
    print(f"[python-peer] {text}", flush=True)


def text_of(message: object) -> object:
    """A message is {"text": …}; a bare string is accepted too."""
    return message.get("text") if isinstance(message, dict) else message


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0, help="messages to send, 0 for no end")
    parser.add_argument("--interval", type=float, default=10, help="ms between messages")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379")
    parser.add_argument("--prefix", default="mesh")
    options = parser.parse_args()

    # Raw frames: every message is one frame of JSON, nothing around it.
    peer = await MeshPeer.join("python-peer", redis_url=options.redis, key_prefix=options.prefix, envelope=False)
    log(f"Registered as {peer.instance}, waiting on port {peer.port}")
    finished = asyncio.Event()

    async def send(stream) -> None:
        number = 0
        while not options.count or number < options.count:
            text = f"Message from Python #{number}"
            await stream.send({"text": text})
            log(f"Sent: {text}")
            number += 1
            await asyncio.sleep(options.interval / 1000)
        await stream.end()

    @peer.on_connection
    async def accepted(stream) -> None:
        log("Accepted connection from Node.")
        sending = asyncio.ensure_future(send(stream))
        try:
            async for message in stream:
                log(f"Received: {text_of(message)}")
            await sending
        except MarketrixError as error:
            log(f"Connection ended: {error}")
        finally:
            sending.cancel()
        if options.count:
            finished.set()

    try:
        await finished.wait()
    finally:
        await peer.leave()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
