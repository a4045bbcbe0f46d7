"""Line coverage of the Lua scripts, measured while the ledger's tests run on fakeredis.

`make coverage` runs it: `pytest --lua-coverage tests/test_ledger*.py`. fakeredis embeds Lua 5.1
(lupa), whose debug hook reports each line that runs. The compiled chunk says which lines can run. A
line counts per function: that a one-line function was defined says nothing of its body.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fakeredis.commands_mixins import scripting_mixin

from worker.ledger.script_runner import LIBRARIES, SCRIPTS, text

EXCEPTIONS: dict[str, str] = {}
"""Lines that no test reaches, as `file:line` → the reason."""
HOOK = """
return function(hit)
  local getinfo, sethook = debug.getinfo, debug.sethook
  local seen = {}
  sethook(function(_, line)
    local info = getinfo(2, 'S')
    local source = info.source
    if string.sub(source, 1, 1) ~= '@' then return end
    local name = source .. ':' .. info.linedefined .. ':' .. line
    if not seen[name] then
      seen[name] = true
      hit(source, info.linedefined, line)
    end
  end, 'l')
end
"""


class Line(NamedTuple):
    """A line of the function that is defined at `function`; 0 is the script itself."""

    function: int
    number: int


class Chunk:
    """A compiled chunk of Lua 5.1 (`string.dump`), read for its lines alone."""

    def __init__(self, dumped: bytes) -> None:
        self._dumped = dumped
        self._at = 12
        self.lines: set[Line] = set()
        self._function()

    def _take(self, form: str) -> int:
        [value] = struct.unpack_from(f"<{form}", self._dumped, self._at)
        self._at += struct.calcsize(f"<{form}")
        return int(value)

    def _skip_text(self) -> None:
        size = self._take("Q")
        self._at += size

    def _skip_constant(self) -> None:
        kind = self._take("B")
        if kind == 4:
            self._skip_text()
        else:
            self._at += {0: 0, 1: 1, 3: 8}[kind]

    def _function(self) -> None:
        self._skip_text()
        defined, last = self._take("i"), self._take("i")
        self._at += 4
        code = self._take("i")
        self._at += 4 * code
        for _ in range(self._take("i")):
            self._skip_constant()
        for _ in range(self._take("i")):
            self._function()
        numbers = [self._take("i") for _ in range(self._take("i"))]
        # The last instruction is the return that Lua adds at `end`, also behind a return of ours.
        own = numbers[:-1]
        self.lines |= {Line(defined, number) for number in own if number != last or last == defined}
        for _ in range(self._take("i")):
            self._skip_text()
            self._at += 8
        for _ in range(self._take("i")):
            self._skip_text()


class Coverage:
    """The lines of every script that ran, and those that can."""

    def __init__(self) -> None:
        self.hits: dict[str, set[Line]] = {}
        self.names = {text(name).encode(): name for name in _script_names()}
        self.lines: dict[str, set[Line]] = {}

    def hit(self, source: bytes, function: float, line: float) -> None:
        """The debug hook's report of a line that ran for the first time in its interpreter."""
        name = source.decode().removeprefix("@")
        self.hits.setdefault(name, set()).add(Line(int(function), int(line)))

    def missed(self) -> list[str]:
        """`file:line` of every line that can run and did not, in any script, less `EXCEPTIONS`."""
        ran, can_run = set(), set()
        for name in self.names.values():
            place = _places(name)
            ran |= {place(line) for line in self.hits.get(name, ())}
            can_run |= {place(line) for line in self.lines.get(name, ())}
        missing = {
            f"{file}:{line.number}" for file, line in can_run - ran if not _only_closes(file, line)
        }
        unknown = {name for name in self.names.values() if name not in self.lines}
        return sorted(missing - set(EXCEPTIONS)) + sorted(
            f"{name}.lua never ran" for name in unknown
        )

    def count(self) -> int:
        """How many lines can run."""
        return len({_places(name)(line) for name, lines in self.lines.items() for line in lines})


def _script_names() -> Iterable[str]:
    return sorted(file.stem for file in SCRIPTS.glob("*.lua"))


def _only_closes(file: str, line: Line) -> bool:
    """True for an `end` alone on its line, to which Lua attributes the jump back of a loop."""
    return (SCRIPTS / file).read_text(encoding="utf-8").splitlines()[
        line.number - 1
    ].strip() == "end"


def _places(name: str) -> Any:
    """A function from a line of the whole script to (file, the line in that file)."""
    starts, begins = [], 1
    parts = (*LIBRARIES, name)
    for part in parts:
        starts.append(begins)
        begins += (SCRIPTS / f"{part}.lua").read_text(encoding="utf-8").count("\n") + 1

    def place(line: Line) -> tuple[str, Line]:
        index = bisect_right(starts, line.number) - 1
        moved = starts[index] - 1
        function = line.function and line.function - moved
        return f"{parts[index]}.lua", Line(function, line.number - moved)

    return place


def install(coverage: Coverage) -> None:
    """Makes every interpreter that fakeredis starts from now on report to `coverage`."""
    module: Any = scripting_mixin.LUA_MODULE

    class Watched(module.LuaRuntime):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any, **options: Any) -> None:
            self._chunks: dict[str, Any] = {}
            self.execute(HOOK.encode())(coverage.hit)

        def execute(self, code: bytes) -> Any:
            name = coverage.names.get(code)
            if name is None:
                return super().execute(code)
            if name not in self._chunks:
                load = self.eval(b"loadstring")
                self._chunks[name] = load(code, b"@" + name.encode())
                dumped = self.eval(b"string.dump")(self._chunks[name])
                coverage.lines[name] = Chunk(dumped).lines
            return self._chunks[name]()

    class Module:
        LuaRuntime = Watched

        def __getattr__(self, name: str) -> Any:
            return getattr(module, name)

    scripting_mixin.LUA_MODULE = Module()


def report(coverage: Coverage) -> Iterator[str]:
    """What the run says at its end."""
    missed = coverage.missed()
    yield f"Lua: {coverage.count()} lines can run, {len(missed)} did not"
    yield from (f"  {one}" for one in missed)
