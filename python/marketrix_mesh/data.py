"""Values that all peers share, in Redis, with versions."""
from __future__ import annotations

import json
import re
from typing import Any, AsyncIterator, Dict, List, NamedTuple, Optional

from .discovery import Discovery
from .errors import MarketrixError
from .framing import from_json, to_json

_HEAD = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local version = 0
local old = redis.call('GET', KEYS[1])
if old then
  local ok, entry = pcall(cjson.decode, old)
  if ok and type(entry) == 'table' and type(entry.ver) == 'number' then version = entry.ver end
end
"""

# ARGV: JSON of the value, by, ttl or '', expected version or '', channel, JSON of the key.
_SET = _HEAD + """
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= version then return {0, version} end
version = version + 1
local tail = ',"ver":' .. string.format('%d', version) .. ',"by":' .. ARGV[2] .. ',"at":' .. string.format('%d', now) .. '}'
if ARGV[3] == '' then redis.call('SET', KEYS[1], '{"v":' .. ARGV[1] .. tail)
else redis.call('SET', KEYS[1], '{"v":' .. ARGV[1] .. tail, 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[5], '{"type":"set","key":' .. ARGV[6] .. ',"v":' .. ARGV[1] .. tail)
return {1, version}
"""

# ARGV: by, expected version or '', channel, JSON of the key.
_DEL = _HEAD + """
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then return {0, version} end
if not old then return {1, 0} end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[3], '{"type":"del","key":' .. ARGV[4] .. ',"ver":' .. string.format('%d', version)
  .. ',"by":' .. ARGV[1] .. ',"at":' .. string.format('%d', now) .. '}')
return {1, version}
"""


class Entry(NamedTuple):
    value: Any
    version: int
    by: str
    at: int


class Namespace:
    """Values below one name."""

    def __init__(self, discovery: Discovery, by: str, name: str):
        self._discovery = discovery
        self._by = json.dumps(by)
        self._start = f"{discovery.prefix}:data:{name}:"
        self._channel = f"{discovery.prefix}:dev:{name}"
        self._set = discovery.redis.register_script(_SET)
        self._del = discovery.redis.register_script(_DEL)

    async def get(self, key: str) -> Optional[Entry]:
        text = await self._discovery._run(self._discovery.redis.get(self._start + key))
        if text is None:
            return None
        stored = from_json(text.encode(), True)
        return Entry(stored["v"], stored["ver"], stored["by"], stored["at"])

    async def set(self, key: str, value: Any, ttl_ms: Optional[int] = None, if_version: Optional[int] = None) -> int:
        """Writes a value; gives its version. Raises ``conflict``."""
        args = [to_json(value, True).decode(), self._by, "" if ttl_ms is None else ttl_ms,
                "" if if_version is None else if_version, self._channel, json.dumps(key)]
        return self._settled(key, await self._discovery._call(self._set, [self._start + key], args))

    async def delete(self, key: str, if_version: Optional[int] = None) -> bool:
        """Deletes a value; gives whether there was one. Raises ``conflict``."""
        args = [self._by, "" if if_version is None else if_version, self._channel, json.dumps(key)]
        return self._settled(key, await self._discovery._call(self._del, [self._start + key], args)) > 0

    async def keys(self, prefix: str = "") -> List[str]:
        start = self._start + prefix
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", start) + "*"
        found = {key async for key in self._discovery.redis.scan_iter(match=pattern, count=500)}
        return sorted(key[len(self._start):] for key in found)

    async def watch(self, key_or_prefix: str = "*") -> AsyncIterator[Dict[str, Any]]:
        """Changes of one key, or with ``*`` at the end of all keys that begin so."""
        async with self._discovery.redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            async for message in pubsub.listen():
                if message["type"] != "message":
                    continue
                change = from_json(message["data"].encode(), True)
                matches = change["key"].startswith(key_or_prefix[:-1]) if key_or_prefix.endswith("*") else (
                    change["key"] == key_or_prefix)
                if matches:
                    yield change

    @staticmethod
    def _settled(key: str, reply: List[int]) -> int:
        written, version = reply
        if not written:
            raise MarketrixError("conflict", f"{key} has version {version}", data=version)
        return version
