"""The commands of Redis that the scripts use, over plain dictionaries.

A snapshot shares every value that is not written afterwards.
"""

from collections.abc import Callable, Iterable
from typing import Any

Value = dict[str, Any] | tuple[str, ...] | str


def text(value: object) -> str:
    """An argument or a score as Redis writes it."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _flat(pairs: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [part for pair in pairs for part in pair]


class Store:
    """One database. A hash and a sorted set are dictionaries; a list is a tuple."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self._owned: set[str] = set()
        self._commands: dict[str, Callable[..., Any]] = {
            name[4:].upper(): getattr(self, name) for name in dir(self) if name.startswith("cmd_")
        }

    def snapshot(self) -> dict[str, Any]:
        """The data as they are; later commands leave them alone."""
        self._owned.clear()
        return dict(self.data)

    def restore(self, data: dict[str, Any]) -> None:
        """Puts a snapshot back."""
        self.data = dict(data)
        self._owned.clear()

    def call(self, name: str, *args: object) -> Any:
        """One command; raises KeyError for one that the model lacks."""
        return self._commands[name](*[text(arg) for arg in args])

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data.get(name) or {}
        return found

    def _write(self, name: str) -> dict[str, Any]:
        if name not in self._owned:
            self.data[name] = dict(self._read(name))
            self._owned.add(name)
        elif name not in self.data:
            self.data[name] = {}
        found: dict[str, Any] = self.data[name]
        return found

    def _drop_empty(self, name: str) -> None:
        if not self.data.get(name, True):
            del self.data[name]

    def _put(self, name: str, value: Any) -> None:
        self.data[name] = value
        self._owned.discard(name)

    # --- strings and keys -------------------------------------------------------------------------

    def cmd_del(self, *names: str) -> int:
        return sum(self.data.pop(name, None) is not None for name in names)

    def cmd_exists(self, *names: str) -> int:
        return sum(name in self.data for name in names)

    def cmd_get(self, name: str) -> Any:
        return self.data.get(name, False)

    def cmd_set(self, name: str, value: str, *options: str) -> str:
        """Without expiry: no world lasts that long."""
        if "NX" in options and name in self.data:
            return ""
        self._put(name, value)
        return "OK"

    def cmd_incr(self, name: str) -> int:
        value = int(self.data.get(name, 0)) + 1
        self._put(name, str(value))
        return value

    # --- lists ------------------------------------------------------------------------------------

    def cmd_rpush(self, name: str, *values: str) -> int:
        self._put(name, (*self.data.get(name, ()), *values))
        return len(self.data[name])

    def cmd_ltrim(self, name: str, first: str, last: str) -> str:
        items = self.data.get(name, ())
        self._put(name, tuple(items[slice(*_bounds(int(first), int(last), len(items)))]))
        self._drop_empty(name)
        return "OK"

    # --- hashes -----------------------------------------------------------------------------------

    def cmd_hset(self, name: str, *pairs: str) -> int:
        fields = self._write(name)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def cmd_hsetnx(self, name: str, field: str, value: str) -> int:
        if field in self._read(name):
            return 0
        self._write(name)[field] = value
        return 1

    def cmd_hget(self, name: str, field: str) -> Any:
        return self._read(name).get(field, False)

    def cmd_hmget(self, name: str, *fields: str) -> list[Any]:
        return [self._read(name).get(field, False) for field in fields]

    def cmd_hgetall(self, name: str) -> list[str]:
        return _flat(self._read(name).items())

    def cmd_hexists(self, name: str, field: str) -> int:
        return int(field in self._read(name))

    def cmd_hdel(self, name: str, *fields: str) -> int:
        if not any(field in self._read(name) for field in fields):
            return 0
        found = self._write(name)
        count = sum(found.pop(field, None) is not None for field in dict.fromkeys(fields))
        self._drop_empty(name)
        return count

    def cmd_hincrby(self, name: str, field: str, by: str) -> int:
        value = int(self._read(name).get(field, 0)) + int(by)
        self._write(name)[field] = str(value)
        return value

    def cmd_hincrbyfloat(self, name: str, field: str, by: str) -> str:
        value = text(float(self._read(name).get(field, 0)) + float(by))
        self._write(name)[field] = value
        return value

    # --- sorted sets ------------------------------------------------------------------------------

    def cmd_zadd(self, name: str, *pairs: str) -> int:
        found = self._write(name)
        before = len(found)
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            found[member] = float(score)
        return len(found) - before

    def cmd_zrem(self, name: str, *members: str) -> int:
        return self.cmd_hdel(name, *members)

    def cmd_zcard(self, name: str) -> int:
        return len(self._read(name))

    def cmd_zscore(self, name: str, member: str) -> Any:
        return self.cmd_zmscore(name, member)[0]

    def cmd_zmscore(self, name: str, *members: str) -> list[Any]:
        found = self._read(name)
        return [text(found[member]) if member in found else False for member in members]

    def cmd_zcount(self, name: str, low: str, high: str) -> int:
        return len(self._between(name, low, high))

    def cmd_zrange(self, name: str, first: str, last: str) -> list[str]:
        ordered = self._ordered(name)
        return [
            member for _, member in ordered[slice(*_bounds(int(first), int(last), len(ordered)))]
        ]

    def cmd_zrevrange(self, name: str, first: str, last: str) -> list[str]:
        ordered = self._ordered(name)[::-1]
        return [
            member for _, member in ordered[slice(*_bounds(int(first), int(last), len(ordered)))]
        ]

    def cmd_zrangebyscore(self, name: str, low: str, high: str, *options: str) -> list[str]:
        found = self._between(name, low, high)
        if "LIMIT" in options:
            at = options.index("LIMIT")
            skipped, count = int(float(options[at + 1])), int(float(options[at + 2]))
            found = found[skipped:] if count < 0 else found[skipped : skipped + count]
        if "WITHSCORES" in options:
            return _flat((member, text(score)) for score, member in found)
        return [member for _, member in found]

    def cmd_zremrangebyscore(self, name: str, low: str, high: str) -> int:
        return self._remove(name, [member for _, member in self._between(name, low, high)])

    def cmd_zremrangebyrank(self, name: str, first: str, last: str) -> int:
        return self._remove(name, self.cmd_zrange(name, first, last))

    def _remove(self, name: str, members: list[str]) -> int:
        return self.cmd_hdel(name, *members) if members else 0

    def _ordered(self, name: str) -> list[tuple[float, str]]:
        return sorted((score, member) for member, score in self._read(name).items())

    def _between(self, name: str, low: str, high: str) -> list[tuple[float, str]]:
        found = self._ordered(name)
        least, most = float(low.lstrip("(")), float(high.lstrip("("))
        above = [one for one in found if one[0] > least or (one[0] == least and low[0] != "(")]
        return [one for one in above if one[0] < most or (one[0] == most and high[0] != "(")]


def _bounds(first: int, last: int, length: int) -> tuple[int, int]:
    start = max(first + length, 0) if first < 0 else first
    end = last + length if last < 0 else last
    return start, max(end + 1, start)
