"""Runs the frame vectors on the Python peer's decoder. Argument: path of the vectors. Prints `ok`."""
import json
import sys

from marketrix_mesh import FrameDecoder, MarketrixError, encode_frame

with open(sys.argv[1], encoding="utf-8") as file:
    vectors = json.load(file)


def decode(chunks, **options):
    decoder = FrameDecoder(**options)
    messages = [message for chunk in chunks for message in decoder.push(chunk)]
    decoder.end()
    return messages


for vector in vectors["encode"]:
    for endian, name in (("big", "frameBig"), ("little", "frameLittle")):
        frame = bytes.fromhex(vector[name])
        assert encode_frame(vector["value"], endian) == frame, vector
        assert decode([frame], endian=endian) == [vector["value"]], vector

everything = bytes.fromhex(vectors["concatenatedBig"])
values = [vector["value"] for vector in vectors["encode"]]
for at in range(len(everything) + 1):
    assert decode([everything[:at], everything[at:]]) == values, at
assert decode([bytes([byte]) for byte in everything]) == values

for vector in vectors["invalid"]:
    options = {"max_frame": vector["limit"]} if "limit" in vector else {}
    try:
        assert decode([bytes.fromhex(vector["bytes"])], **options) == vector["messages"], vector
    except MarketrixError as error:
        assert error.kind == vector["kind"], (vector, error)

for value in (float("nan"), float("inf"), 2**53, object(), {"a": b"x"}):
    try:
        encode_frame(value)
        raise AssertionError(value)
    except MarketrixError as error:
        assert error.kind == "invalid-message", error

deep = []
for _ in range(128):
    deep = [deep]
for work in (lambda: encode_frame(deep), lambda: decode([len(b"[" * 129 + b"]" * 129).to_bytes(4, "big") + b"[" * 129 + b"]" * 129])):
    try:
        work()
        raise AssertionError("nested too deep")
    except MarketrixError:
        pass

for value in ({"x": b"\0\xff"}, {"$bytes": "x"}, {"$$bytes": b"1"}, b"", "\ud800"):
    assert decode([encode_frame(value, allow_bytes=True)], allow_bytes=True) == [value], value
print("ok")
