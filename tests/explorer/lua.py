"""Runs the ledger's scripts on the embedded interpreter, over a store."""

import json
from collections.abc import Callable
from typing import Any

from lupa import lua51

from tests.explorer.store import Store
from worker.ledger.script_runner import text as script_text

Change = tuple[str, str, str]
"""(script or library, old text, new text) of a planted fault."""


class Interpreter:
    """Each script is compiled once."""

    def __init__(self, store: Store, sources: Callable[[str], str] = script_text) -> None:
        self.store = store
        self.sources = sources
        self._lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
        self._functions: dict[str, Any] = {}
        self._make = self._lua.execute("return function() return {} end")
        self._lua.globals().redis = self._lua.table_from({"call": self._call, "pcall": self._call})
        self._lua.globals().cjson = self._lua.table_from(
            {"decode": self._decode, "encode": self._encode}
        )

    def run(self, name: str, base: str, context: dict[str, Any], given: dict[str, Any]) -> Any:
        """One script's reply, decoded."""
        if name not in self._functions:
            source = "return function(KEYS, ARGV)\n" + self.sources(name) + "\nend"
            self._functions[name] = self._lua.execute(source)
        words = self._lua.table_from([json.dumps(context), json.dumps(given)])
        return json.loads(self._functions[name](self._lua.table_from([base]), words))

    def _call(self, name: str, *args: object) -> Any:
        found = self.store.call(name, *args)
        return self._lua.table_from(found) if isinstance(found, list) else found

    def _decode(self, document: str) -> Any:
        return self._table(json.loads(document))

    def _table(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._lua.table_from({key: self._table(one) for key, one in value.items()})
        if isinstance(value, list):
            return self._lua.table_from([self._table(one) for one in value])
        return value

    def _encode(self, value: Any) -> str:
        return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if items and all(isinstance(key, int) for key in items):
        return [_plain(items[number]) for number in sorted(items)]
    return {str(key): _plain(one) for key, one in items.items()}
