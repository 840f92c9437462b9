"""Registration and lookup in Redis."""
from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from typing import Any, Dict, List, Optional, Set

import redis.asyncio as redis_asyncio
from redis.exceptions import RedisError

from .errors import MarketrixError

Record = Dict[str, Any]
CACHE_SECONDS = 1.0

_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

# KEYS: record, index, services, then topics. ARGV: record, ttl, instance, service, channel, startedAt, 'up' event,
# 'update' event or ''.
_REGISTER = _NOW + """
local ttl = tonumber(ARGV[2])
local old = redis.call('GET', KEYS[1])
if old then
  local ok, record = pcall(cjson.decode, old)
  if ok and type(record) == 'table' and type(record.startedAt) == 'number'
    and record.startedAt ~= tonumber(ARGV[6]) then return {0, now} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
redis.call('ZADD', KEYS[2], now + ttl, ARGV[3])
if redis.call('PTTL', KEYS[2]) < ttl * 10 then redis.call('PEXPIRE', KEYS[2], ttl * 10) end
local latest = redis.call('ZSCORE', KEYS[3], ARGV[4])
if not latest or tonumber(latest) < now + ttl then redis.call('ZADD', KEYS[3], now + ttl, ARGV[4]) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('PTTL', KEYS[3]) < ttl * 10 then redis.call('PEXPIRE', KEYS[3], ttl * 10) end
for i = 4, #KEYS do
  redis.call('ZADD', KEYS[i], now + ttl, ARGV[4] .. '/' .. ARGV[3])
  if redis.call('PTTL', KEYS[i]) < ttl * 10 then redis.call('PEXPIRE', KEYS[i], ttl * 10) end
end
if not old then redis.call('PUBLISH', ARGV[5], ARGV[7])
elseif ARGV[8] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[8]) end
return {1, now}
"""

# KEYS as above. ARGV: instance, service, channel, 'down' event.
_UNREGISTER = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[3], ARGV[2]) end
for i = 4, #KEYS do redis.call('ZREM', KEYS[i], ARGV[2] .. '/' .. ARGV[1]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""

# Live members of a sorted set by expiry.
_LIVE = _NOW + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
"""


class Discovery:
    """Keeps one record alive in Redis and finds the records of others."""

    def __init__(self, url: str, prefix: str, ttl_ms: int):
        self.redis = redis_asyncio.from_url(url, decode_responses=True)
        self.prefix = prefix
        self.record: Optional[Record] = None
        self.topics: Set[str] = set()
        self._ttl_ms = ttl_ms
        self._offset_ms = 0.0
        self._beat: Optional["asyncio.Task[None]"] = None
        self._cache: Dict[str, Any] = {}
        self._register = self.redis.register_script(_REGISTER)
        self._unregister = self.redis.register_script(_UNREGISTER)
        self._live = self.redis.register_script(_LIVE)

    def now_ms(self) -> float:
        """Milliseconds since the epoch by the clock of Redis."""
        return time.time() * 1000 + self._offset_ms

    async def register(self, record: Record) -> None:
        """First write, then a heartbeat every third of the TTL."""
        self.record = record
        if not await self.write():
            name = f"{record['service']}/{record['instance']}"
            raise MarketrixError("duplicate-instance", f"{name} is alive elsewhere")
        self._beat = asyncio.get_event_loop().create_task(self._heartbeat())

    async def write(self, changed: bool = False) -> bool:
        """Writes the record in full; false when another process lives under the name.

        ``changed``: something that others want to hear of is new.
        """
        record = self.record
        if record is None:
            return False
        record["seq"] += 1
        asked = time.time() * 1000
        written, now = await self._call(self._register, self._keys(record), [
            json.dumps(record), self._ttl_ms, record["instance"], record["service"],
            f"{self.prefix}:ev:{record['service']}", record["startedAt"], json.dumps({"type": "up", "record": record}),
            json.dumps({"type": "update", "record": record}) if changed else "",
        ])
        self._offset_ms = now - (asked + time.time() * 1000) / 2
        return written == 1

    async def leave(self) -> None:
        """Takes the registration back."""
        if self._beat:
            self._beat.cancel()
        record, self.record = self.record, None
        if record is not None:
            with contextlib.suppress(MarketrixError):
                await self._call(self._unregister, self._keys(record), [
                    record["instance"], record["service"], f"{self.prefix}:ev:{record['service']}",
                    json.dumps({"type": "down", "record": record}),
                ])

    async def close(self) -> None:
        await self.redis.aclose()

    async def instances(self, service: str, fresh: bool = False) -> List[Record]:
        """Records of live instances, ordered by name."""
        cached = self._cache.get(service)
        if cached and not fresh and time.monotonic() < cached[0]:
            return cached[1]
        names = await self._call(self._live, [f"{self.prefix}:idx:{service}"], [])
        texts = await self._run(self.redis.mget([f"{self.prefix}:svc:{service}:{name}" for name in names])) if names else []
        records = []
        for text in texts:
            with contextlib.suppress(ValueError):
                record = json.loads(text) if text else None
                if isinstance(record, dict) and record.get("service") == service and "host" in record and "port" in record:
                    records.append(record)
        records.sort(key=lambda record: record["instance"])
        if records:
            self._cache[service] = (time.monotonic() + CACHE_SECONDS, records)
        return records

    async def subscribers(self, topic: str) -> List[str]:
        """Live subscribers of a topic as ``service/instance``."""
        return await self._call(self._live, [f"{self.prefix}:topic:{topic}"], [])

    async def _heartbeat(self) -> None:
        pause = self._ttl_ms / 3000
        while True:
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))
            try:
                await self.write()
                pause = self._ttl_ms / 3000
            except MarketrixError:  # Redis is away: again soon, then less and less often
                pause = min(5.0, 0.1 if pause > 5 else pause * 2, self._ttl_ms / 3000)

    def _keys(self, record: Record) -> List[str]:
        service, instance = record["service"], record["instance"]
        return [f"{self.prefix}:svc:{service}:{instance}", f"{self.prefix}:idx:{service}", f"{self.prefix}:svcs",
                *(f"{self.prefix}:topic:{topic}" for topic in self.topics)]

    async def _call(self, script: Any, keys: List[str], args: List[Any]) -> Any:
        return await self._run(script(keys=keys, args=args))

    @staticmethod
    async def _run(command: Any) -> Any:
        try:
            return await command
        except (RedisError, OSError) as error:
            raise MarketrixError("discovery", str(error)) from error
