# The published peer's Redis adapter: port, prefix, shards, events, size. Prints the rate to the last entry in the server.
import json
import socket
import sys
import time

import net

port, prefix, shards, count, events = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
texts = open(events).read().split("\n")
batches = [[texts[(i + k) % len(texts)] for k in range(1000)] for i in range(0, len(texts), 1000)]
bus = net.Net(num_shards=shards, redis_url=f"redis://127.0.0.1:{port}", redis_prefix=prefix)
server = socket.create_connection(("127.0.0.1", port))
keys = [f"{prefix}:shard:{shard}" for shard in range(shards)]
question = "".join(f"*2\r\n$4\r\nXLEN\r\n${len(key)}\r\n{key}\r\n" for key in keys).encode()


def stored():
    server.sendall(question)
    answer = b""
    while answer.count(b"\r\n") < shards:
        answer += server.recv(4096)
    return sum(int(line[1:]) for line in answer.split(b"\r\n") if line)


began = time.perf_counter()
for i in range(count // 1000):
    bus.ingest_raw_batch(batches[i % len(batches)])
last, seen = 0, time.perf_counter()
while last < count and time.perf_counter() - seen < 5:
    now = stored()
    if now != last:
        last, seen = now, time.perf_counter()
    time.sleep(0.002)
print(json.dumps({"rate": last / (seen - began), "stored": last}))
bus.shutdown()
