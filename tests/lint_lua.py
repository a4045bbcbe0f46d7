"""`python -m tests.lint_lua`: luacheck over the ledger's scripts. Exit 1 on any warning.

Each file is checked by itself. The local names of the libraries in front of a script are its
globals, and a library's function counts as used when a later file uses it. Without luacheck
(Debian's `lua-check`) nothing is checked, which is said; in CI that is a failure.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from worker.ledger.script_runner import LIBRARIES, SCRIPTS

LIMITS = ("--max-line-length", "100", "--max-cyclomatic-complexity", "10")
FIXED = ("KEYS", "ARGV", "cjson", "redis")


def exports(source: str) -> set[str]:
    """The names that a library defines for the files after it."""
    functions = re.findall(r"^local function (\w+)", source, re.MULTILINE)
    values = re.findall(r"^local (\w+(?:, \w+)*)(?: =|$)", source, re.MULTILINE)
    return {*functions, *(name for group in values for name in group.split(", "))}


def check(file: Path, before: set[str], after: str) -> str:
    """What luacheck says of one file. `before`: names of earlier files; `after`: the later text."""
    source = file.read_text(encoding="utf-8")
    used_later = {name for name in exports(source) if re.search(rf"\b{name}\b", after)}
    ignored = [f"211/^{name}$" for name in sorted(used_later)]
    command = ["luacheck", "--no-config", "--std", "lua51", "--codes", "--no-color", "-q", *LIMITS]
    command += ["--read-globals", *FIXED, *sorted(before)]
    if ignored:
        command += ["--ignore", *ignored]
    found = subprocess.run([*command, "--", str(file)], capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else found.stdout + found.stderr


def main() -> int:
    if shutil.which("luacheck") is None:
        print("Lua was not linted: luacheck is not on the path (Debian: lua-check)")
        return int(os.environ.get("CI") == "true")
    libraries = [SCRIPTS / f"{name}.lua" for name in LIBRARIES]
    scripts = sorted(SCRIPTS.glob("*.lua"))
    texts = {file: file.read_text(encoding="utf-8") for file in (*libraries, *scripts)}
    before: set[str] = set()
    complaints = []
    for index, library in enumerate(libraries):
        after = "\n".join(texts[file] for file in (*libraries[index + 1 :], *scripts))
        complaints.append(check(library, before, after))
        before |= exports(texts[library])
    complaints += [check(script, before, "") for script in scripts]
    print("".join(complaints), end="")
    return int(any(complaints))


if __name__ == "__main__":
    sys.exit(main())
