"""Ingest rate of the published bus (net-mesh from PyPI), memory transport: events accepted per second.

Its memory transport stores nothing: the figure is acceptance alone. Usage: peer.py <size> <events> <batch>
"""
import json
import sys
import time

from net import Net

size, total, batch = (int(word) for word in sys.argv[1:4])


def text(i):
    if size == 9:
        return '{"":%d}' % (1000 + i)
    head = '{"id":%d,"kind":%d,"sensor":"s%d","text":"' % (i, i % 7, i % 64)
    return head + ("abcdefghijklmnopqrstuvwxyz0123456789" * 20)[i % 36 :][: size - len(head) - 2] + '"}'


texts = [text(i) for i in range(4096)]
bus = Net(num_shards=4, backpressure_mode="drop_oldest")
rates = []
for _ in range(3):
    start = time.perf_counter()
    if batch == 1:
        push = bus.ingest_raw
        for i in range(total):
            push(texts[i & 4095])
    else:
        pieces = [texts[k * 1000 : k * 1000 + 1000] for k in range(4)]
        for k in range(total // 1000):
            bus.ingest_raw_batch(pieces[k & 3])
    rates.append(total / (time.perf_counter() - start))
bus.shutdown()
print(json.dumps({"median": sorted(rates)[1]}))
