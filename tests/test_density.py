"""Short and not dense: how much a reader must hold in mind for one function, and for ten lines."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from radon.complexity import cc_visit
from radon.visitors import Function

ROOT = Path(__file__).parents[1]
MOST = 10
"""Complexity of a function as radon counts it: branches, and/or, ternaries, comprehensions."""
DENSEST = 3.0
"""Complexity of all functions per ten lines of code."""
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT} | {
    tokenize.ENDMARKER
}


def files(*rooms: str) -> list[Path]:
    return sorted(file for room in rooms for file in (ROOT / room).rglob("*.py"))


def functions(file: Path) -> Iterator[Function]:
    for block in cc_visit(file.read_text(encoding="utf-8")):
        if isinstance(block, Function):
            yield block
            yield from block.closures


def code_lines(file: Path) -> int:
    """Lines that hold code: no blanks, comments or docstrings."""
    source = file.read_text(encoding="utf-8")
    said = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - said)


@pytest.mark.parametrize("room", ["worker", "tasks", "schemas", "sandbox", "benchmarks"])
def test_no_function_is_complex(room):
    """A reader holds a function in mind at once."""
    over = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}: {function.complexity}"
        for file in files(room)
        for function in functions(file)
        if function.complexity > MOST
    ]
    assert over == []


def test_the_worker_is_not_dense():
    """No line that a reader has to unfold."""
    everything = files("worker")
    complexity = sum(function.complexity for file in everything for function in functions(file))
    lines = sum(code_lines(file) for file in everything)
    assert 10 * complexity / lines <= DENSEST, f"{complexity} in {lines} lines"
