"""The rooms and their arrows, the sizes that keep a file readable, and the lists that must agree
with each other.
"""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from schemas.messages import DOORS
from schemas.order import REASONS
from worker import dead_letters
from worker.celery import app
from worker.ledger import keys

ROOT = Path(__file__).parents[1]
ROOMS = {
    "schemas": {"schemas"},
    "worker": {"worker", "schemas"},
    "tasks": {"tasks", "worker", "schemas"},
    "sandbox": {"sandbox"},
    "examples": set(),
}
OURS = {*ROOMS, "tests", "benchmarks"}
SCRIPTS = ROOT / "worker" / "ledger" / "scripts"
PURE = {"collections", "dataclasses", "datetime", "decimal", "enum", "functools", "heapq"} | {
    "itertools", "math", "operator", "typing", "schemas", "worker",
}  # fmt: skip
"""What a pure file may import; `worker` is narrowed to `worker.rules` by the table below."""
LEAVES = {"boundaries", "errors", "servers"}
MAY_IMPORT = {
    "boundaries": set(),
    "errors": set(),
    "servers": set(),
    "rules": set(),
    "ledger": {"rules", *LEAVES},
    "suppliers": {"rules", *LEAVES},
    "settings": {"suppliers", *LEAVES},
    "flowerconfig": {"settings"},
    "registry": {"rules", "ledger", "suppliers", "settings"},
    "dead_letters": {"rules", "ledger"},
    "turns": {"rules", "ledger", "suppliers", *LEAVES},
    "web_app": {"rules", "ledger", "suppliers", "turns", "settings", *LEAVES},
    "service": {"rules", "ledger", "suppliers", "turns", "web_app", "settings", "registry"}
    | {"dead_letters", *LEAVES},
    "process": {"service", "settings", "web_app", *LEAVES},
    "commands": {"service", "settings", "web_app", "ledger", "process", *LEAVES},
    "celery": {"service", "settings", "turns", "process"},
}
"""The rooms of `worker`, root modules among them: what each may import beside itself."""
LONGEST_FUNCTION = 40
"""A function has fewer lines than this."""
SCREEN = 100
"""Lines of a tall terminal: the executor's class must fit one."""
INDEX_HOST = re.compile(
    "|".join(
        (
            r"py" r"pi\.",
            r"python" r"hosted\.",
            r"index" r"-url",
            r"extra-" r"index",
            r"trusted" r"-host",
            r"arti" r"factory",
            r"devpi" r"\.",
        )
    ),
    re.IGNORECASE,
)
SECOND_LINE = re.compile(r"--no-emit-index" r"-url")


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported(file: Path) -> Iterator[str]:
    """The first part of every module that `file` imports, anywhere in it."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (
                file.relative_to(ROOT).parts[0]
                if node.level
                else (node.module or "").partition(".")[0]
            )
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", "") == "import_module"
            and node.args
        ):
            yield str(getattr(node.args[0], "value", "")).partition(".")[0]


def lua() -> dict[str, str]:
    """Every script by the name it is run with, each library as `lib/NAME`; without comments."""
    return {
        str(file.relative_to(SCRIPTS).with_suffix("")): _uncommented(file)
        for file in sorted(SCRIPTS.rglob("*.lua"))
    }


def _uncommented(file: Path) -> str:
    return re.sub(r"--.*", "", file.read_text(encoding="utf-8"))


def tracked() -> list[Path]:
    """What is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_point_one_way(room):
    """schemas <- worker <- tasks, never back; the sandbox keeps books of its own."""
    wrong = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files(room)
        for name in imported(file)
        if name in OURS - ROOMS[room]
    }
    assert wrong == set()


def _room_of(module: str) -> str | None:
    """The room of `worker` that a dotted module belongs to; a root module is a room of its own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "worker" and len(parts) > 1 else None


def _rooms_imported(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and node.module == "worker":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from filter(None, [_room_of(node.module or "")])
        elif isinstance(node, ast.Import):
            yield from filter(None, (_room_of(alias.name) for alias in node.names))


def _room(file: Path) -> str:
    parts = file.relative_to(ROOT / "worker").parts
    return parts[0] if len(parts) > 1 else file.stem


def test_every_room_of_the_worker_stands_in_the_table():
    """A new folder or root module must be given its arrows."""
    assert {_room(file) for file in files("worker")} - {"__init__"} == set(MAY_IMPORT)


def test_the_table_of_arrows_has_no_circle():
    """Each room can be read after the rooms that it imports."""
    list(TopologicalSorter(MAY_IMPORT).static_order())


def test_rooms_of_the_worker_import_one_way():
    """Only what the table allows."""
    wrong = {
        f"{file.relative_to(ROOT)} imports worker.{room}"
        for file in files("worker")
        for room in _rooms_imported(file)
        if _room(file) != "__init__" and room not in MAY_IMPORT[_room(file)] | {_room(file)}
    }
    assert wrong == set()


def test_rules_are_pure():
    """No I/O, no clock, no random: every file in `worker/rules/`, and any that comes."""
    wrong = {
        f"{file.name} imports {name}"
        for file in files("worker/rules")
        for name in imported(file)
        if name not in PURE
    }
    assert wrong == set()
    asked = {
        f"{file.name}:{node.lineno} {node.attr}"
        for file in files("worker/rules")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "today", "utcnow", "time"}
        if isinstance(node.value, ast.Name) and node.value.id in {"datetime", "date", "time"}
    }
    assert asked == set(), "a clock"
    opened = {
        f"{file.name}:{node.lineno} {node.id}"
        for file in files("worker/rules")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Name) and node.id in {"open", "print", "input", "__import__"}
    }
    assert opened == set(), "I/O"


def test_no_function_is_long():
    """In worker, tasks, schemas and sandbox, with its decorators and docstring."""
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines"
        for room in ("worker", "tasks", "schemas", "sandbox")
        for file in files(room)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for lines in [
            (node.end_lineno or 0)
            - min([node.lineno, *(d.lineno for d in node.decorator_list)])
            + 1
        ]
        if lines >= LONGEST_FUNCTION
    ]
    assert long == []


def test_a_step_fits_one_screen():
    """The class that performs it."""
    [executor] = [
        node
        for node in tree(ROOT / "worker" / "turns" / "executor.py").body
        if isinstance(node, ast.ClassDef) and node.name == "Executor"
    ]
    assert (executor.end_lineno or 0) - executor.lineno + 1 <= SCREEN


def test_tasks_have_bodies_of_ten_lines():
    """Doors are thin."""
    for file in files("tasks"):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.body[0].lineno + 1 <= 10, node.name


def test_every_queue_has_a_consumer():
    """In the Procfile's one worker line; nothing is sent to a queue that nobody reads."""
    commands = dict(
        line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if ": " in line
    )
    words = shlex.split(commands["worker"])
    assert words[:4] == ["celery", "-A", "worker", "worker"]
    consumed = set(words[words.index("-Q") + 1].split(","))
    declared = {queue.name for queue in app.conf.task_queues}
    assert consumed == declared
    assert app.conf.task_default_queue in declared
    rooms = set(keys.ROOMS) - {"messages"}
    assert rooms <= declared
    for room in ("worker", "tasks"):
        for file in files(room):
            for node in ast.walk(tree(file)):
                named = (
                    isinstance(node, ast.keyword)
                    and node.arg == "queue"
                    and isinstance(node.value, ast.Constant)
                )
                assert not named or node.value.value in declared


def test_every_door_is_a_task():
    """And every other task is the workers' own: the doorbell and their sign of life."""
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert set(DOORS) <= ours
    assert ours - set(DOORS) <= {"orders.step", "workers.beat"}


def _names_in_python() -> set[str]:
    """The first argument after the room in every `key(room, name, …)`."""
    found = set()
    for file in files("worker"):
        for node in ast.walk(tree(file)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "key"
            ):
                found |= {
                    one.value
                    for one in node.args[1:2]
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return found


def test_every_key_has_its_sentence():
    """Names used in scripts and in Python are those of keys.NAMES, no more and no fewer."""
    in_lua = {name for text in lua().values() for name in re.findall(r"\bkey\('(\w+)'", text)}
    assert not [
        text for text in lua().values() if re.search(r"\bkey\((?!'|name, first|text)", text)
    ]
    assert in_lua | _names_in_python() == set(keys.NAMES)
    assert in_lua == set(keys.NAMES), "every key is written by a script"
    assert len(keys.NAMES) == len(keys.SENTENCES), "no key is named twice"
    for name, sentence in keys.NAMES.items():
        assert re.match(rf"{name}\b.*: .*\.$", sentence), name


def test_scripts_build_every_key_from_their_room():
    """No key is spelled out: the hash tag keeps one supplier in one slot."""
    for name, text in lua().items():
        commands = re.findall(r"redis\.p?call\('([A-Z]+)'(?:, ([^,)]+))?", text)
        spelled = [
            (verb, first) for verb, first in commands if first.startswith("'") and verb != "INFO"
        ]
        assert spelled == [], name
        assert "KEYS[" not in text or name == "lib/prelude"


def _head(file: Path, what: str) -> set[str]:
    """The names after `-- args:` or `-- keys:` at a script's head."""
    found = re.search(rf"^-- {what}: (.*(?:\n--   .*)*)", file.read_text("utf-8"), re.MULTILINE)
    assert found, f"{file.name} says no {what}"
    return set(re.findall(r"\w+", found[1])) - {"none"}


@pytest.mark.parametrize("file", sorted(SCRIPTS.rglob("*.lua")), ids=lambda file: file.stem)
def test_every_script_says_what_it_reads(file):
    """Its head names the arguments and keys that its text uses; a library reads no argument."""
    text = _uncommented(file)
    args = set(re.findall(r"\bargs\.(\w+)", text))
    assert _head(file, "args") == args
    assert _head(file, "keys") == set(re.findall(r"\bkey\('(\w+)'", text))
    assert file.parent == SCRIPTS or not args


def test_every_script_is_run_and_every_run_has_its_script():
    """Names of the files in `scripts/`; those in `scripts/lib/` are parts of each."""
    ran = set()
    for file in files("worker"):
        ran |= set(re.findall(r"scripts\.run\(\s*\"(\w+)\"", file.read_text(encoding="utf-8")))
    assert ran == set(lua()) - {name for name in lua() if name.startswith("lib/")}


def _strings(room: str) -> set[str]:
    return {
        node.value
        for file in files(room)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_reason_is_used():
    """The list is closed, and nothing in it is idle."""
    used = _strings("worker") | {
        word for text in lua().values() for word in re.findall(r"'(\w+)'", text)
    }
    assert {reason for reason in REASONS if reason not in used} == set()
    assert len(set(REASONS)) == len(REASONS)


def test_no_reason_is_invented():
    """What an order dies of, or a client rejects with, is in the list."""
    said = set()
    reason_at = {"Rejected": 0, "Refused": 0, "dead_letter": 1, "letter_beside": 1}
    for file in files("worker"):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                place = reason_at.get(name)
                if (
                    place is not None
                    and len(node.args) > place
                    and isinstance(node.args[place], ast.Constant)
                ):
                    said.add(node.args[place].value)
    assert said <= set(REASONS)
    assert len(said) > 8


def test_every_module_says_what_it_is():
    """A docstring of its own."""
    for room in ("worker", "tasks", "schemas", "sandbox"):
        for file in files(room):
            assert ast.get_docstring(tree(file)), file


def test_dead_letters_leave_only_by_a_word():
    """No script expires one: an age is set on withdraw marks alone (invariant 8)."""
    expiring = {
        name
        for name, text in lua().items()
        if re.search(r"'(EX|PX|EXPIRE|PEXPIRE|EXPIREAT)'", text)
    }
    assert expiring == {"order_mark_withdrawn"}
    assert dead_letters.__doc__


def test_no_package_index_is_named():
    """Where packages come from is the machine's business; a lock file has hashes and no address."""
    named = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        named += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(lines, 1)
            if INDEX_HOST.search(SECOND_LINE.sub("", line))
        ]
    assert named == []
