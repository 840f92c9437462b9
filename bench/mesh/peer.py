"""One node of the published package, told what to do by lines of JSON: the other end of the mesh bench."""

import json
import sys
import threading
import time

import net

node = net.NetMesh("127.0.0.1:%s" % sys.argv[1], "42" * 32)
streams = {}


def receive(count, latency):
    """Takes events until all are here or nothing came for a second."""
    got, delays, last = 0, [], time.monotonic()
    while got < count:
        events = node.poll(8192)
        if events:
            now = time.monotonic_ns()
            if latency:
                delays += [now - int(event.raw[:20]) for event in events]
            got += len(events)
            last = time.monotonic()
        elif time.monotonic() - last > 1:
            break
        elif not latency:
            time.sleep(0.0002)
    return {"done": now if got else 0, "got": got, "delays": delays}


def send(peer, stream, count, batch, window):
    """Sends events of 112 bytes, without losing any to back-pressure; returns when it began."""
    key = (peer, stream)
    if key not in streams:
        streams[key] = node.open_stream(int(peer), stream, "reliable", window)
    handle = streams[key]
    events = [('{"n":%d}' % n).ljust(112).encode() for n in range(batch)]
    begun = time.monotonic_ns()
    for _ in range(count // batch):
        while True:
            try:
                node.send_on_stream(handle, events)
                break
            except net.BackpressureError:
                time.sleep(0)
    return {"begun": begun}


def lone(peer, stream, count):
    """Sends one event a millisecond, each with the time."""
    handle = node.open_stream(int(peer), stream, "reliable")
    for _ in range(count):
        node.send_on_stream(handle, [("%020d" % time.monotonic_ns()).ljust(112).encode()])
        time.sleep(0.001)


calls = {
    "who": lambda: {"key": node.public_key, "id": str(node.node_id)},
    "accept": lambda peer: node.accept(int(peer)),
    "connect": lambda address, key, peer: node.connect(address, key, int(peer)),
    "start": lambda: node.start(),
    "receive": receive,
    "send": send,
    "lone": lone,
}
lock = threading.Lock()


def work(job):
    try:
        out = {"id": job["id"], "answer": calls[job["call"]](*job["with"])}
    except BaseException as error:
        out = {"id": job["id"], "error": "%s: %s" % (type(error).__name__, error)}
    with lock:
        print(json.dumps(out), flush=True)


for line in sys.stdin:
    threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
