"""Documents name files, tests, links and numbers that exist; the walk agrees with the code."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = ("schemas", "worker", "tasks", "sandbox", "tests", "benchmarks", "examples", "docs")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
WORDS_AT_MOST = 20
STEPS = 7
INVARIANTS = 17


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE)}


def source() -> list[Path]:
    """Python and Lua files whose comments may cite a document."""
    return [
        file
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".py", ".lua"}
    ]


# --- names that must exist ------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_path_exists(document):
    """A path in backticks, from the root of the repository."""
    missing = {path for path in PATH.findall(text_of(document)) if not (ROOT / path).exists()}
    assert missing == set()


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_link_leads_somewhere(document):
    """To a file of the repository, and to a heading in it."""
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text_of(document)):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_named_test_exists(document):
    """A name in backticks that begins with `test_`."""
    tests = "\n".join(text_of(file) for file in (ROOT / "tests").rglob("test_*.py"))
    cited = set(re.findall(r"`(test_\w+)`", text_of(document)))
    assert {name for name in cited if f"def {name}(" not in tests} == set()


# --- the walk -------------------------------------------------------------------------------------


def walk() -> list[str]:
    """The main file of each step, in the order of the walk."""
    return re.findall(r"^\d+\. \*\*`([\w/.]+)`\*\*", ARCHITECTURE, re.MULTILINE)


def hops() -> list[tuple[str, str, str]]:
    """From, to and how, of each row of the table after the walk."""
    table = ARCHITECTURE.partition("<!-- walk -->")[2].partition("<!-- /walk -->")[0]
    rows = [row.strip("|").split("|") for row in table.strip().splitlines()[2:]]
    return [(start.strip(" `"), end.strip(" `"), how.strip()) for start, end, how in rows]


def imports(file: str) -> set[str]:
    """The files that `file` imports: modules, and what a package of ours re-exports from them."""
    found = set()
    for node in ast.walk(ast.parse(text_of(ROOT / file))):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").replace(".", "/")
            found |= {f"{module}.py", *(f"{module}/{alias.name}.py" for alias in node.names)}
            package = f"{module}/__init__.py"
            if package != file and (ROOT / package).exists():
                found |= imports(package)
    return found


def runs(file: str) -> set[str]:
    """The scripts that `file` names."""
    names = re.findall(r'"([a-z]+_[a-z_]+)"', text_of(ROOT / file))
    return {f"worker/ledger/scripts/{name}.lua" for name in names}


def test_the_walk_has_seven_steps():
    """As its heading says."""
    assert len(walk()) == STEPS
    assert "## One order in seven steps" in ARCHITECTURE


def test_the_walk_goes_through_the_table_without_jumping_back():
    """Each row starts at a file that is open and opens a new one; the steps come in their order."""
    opened = [walk()[0]]
    for start, end, _ in hops():
        assert start in opened, f"{start} is not open before {end}"
        assert end not in opened, f"{end} is opened twice"
        opened.append(end)
    assert [file for file in opened if file in walk()] == walk()


def agrees(start: str, end: str, how: str) -> bool:
    """True when the code shows what a row of the table says."""
    words = re.findall(r"`([\w/.]+)`", how)
    match how.partition(" `")[0]:
        case "imports":
            return end in imports(start)
        case "is imported by":
            return start in imports(end)
        case "runs":
            return end in runs(start)
        case "is run by":
            return start in runs(end)
        case "calls":
            defined = f"local function {words[0]}(" in text_of(ROOT / end)
            return defined and f"{words[0]}(" in text_of(ROOT / start)
        case "writes the key":
            return all(f"key('{words[0]}'" in text_of(ROOT / file) for file in (start, end))
        case "receives it from":
            chain = [start, *words, end]
            return start in imports(words[0]) and all(
                second in imports(one) for one, second in pairwise(chain[1:])
            )
    return False


@pytest.mark.parametrize(("start", "end", "how"), hops(), ids=lambda part: str(part)[-30:])
def test_each_row_of_the_walk_agrees_with_the_code(start, end, how):
    """How a file leads to the next: by an import, a script, a key, or a part that it receives."""
    assert agrees(start, end, how)


# --- the folders ----------------------------------------------------------------------------------


def tracked_folders() -> set[str]:
    """Every folder with a Python or Lua file of the repository, but for those inside `tests/`."""
    folders = {f"{file.parent.relative_to(ROOT)}/" for file in source()}
    return {folder for folder in folders if not folder.startswith("tests/") or folder == "tests/"}


def test_the_map_has_every_folder():
    """And every root module of the worker."""
    mapped = set(
        re.findall(r"^\| `([\w/.]+)` \|", ARCHITECTURE.partition("## The folders")[2], re.M)
    )
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "worker").glob("*.py")}
    assert tracked_folders() <= mapped
    assert modules - {"worker/__init__.py"} <= mapped


# --- numbers that are cited -----------------------------------------------------------------------


def test_the_invariants_are_numbered():
    """One to seventeen, in order."""
    text = text_of(ROOT / "docs" / "invariants.md")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]
    assert numbers == list(range(1, INVARIANTS + 1))


def test_every_cited_invariant_and_section_exists():
    """In code, tests and documents: `invariant N`, and `docs/suppliers.md §N`."""
    facts = text_of(ROOT / "docs" / "suppliers.md")
    sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", facts, re.MULTILINE))
    for file in [*DOCS, *source()]:
        cited = re.findall(r"[Ii]nvariants? (\d+)", text_of(file))
        assert {int(number) for number in cited} <= set(range(1, INVARIANTS + 1)), file
        if "docs/suppliers.md" in text_of(file):
            assert set(re.findall(r"§(\d+(?:\.\d+)?)", text_of(file))) <= sections, file


def test_every_fact_of_a_supplier_has_a_mark():
    """The four marks are explained, and each of the supplier's own sections uses them."""
    facts = text_of(ROOT / "docs" / "suppliers.md")
    for mark in "DOIU":
        assert f"**[{mark}]**" in facts
    for section in re.split(r"^### ", facts, flags=re.MULTILINE)[1:]:
        if section[0] in "12":
            assert re.search(r"\[[DOIU](, [DOIU])*\]", section), section[:30]


def test_the_glossary_is_short():
    """At most twenty words."""
    rows = text_of(ROOT / "docs" / "glossary.md").partition("| --- |")[2].strip().splitlines()[1:]
    assert 0 < len(rows) <= WORDS_AT_MOST


def test_nothing_points_outside_of_the_repository():
    """No comment cites a document that is not here."""
    cited = re.compile(
        r"`(?:\.\./)?(suppliers|design|stack|style|structure)\.md`|\bdesign §|the seeds"
    )
    outside = [
        named(file) for file in source() if file != Path(__file__) and cited.search(text_of(file))
    ]
    assert outside == []


def test_the_changelog_has_a_heading_for_the_version():
    """Keep a Changelog: Unreleased first, then the version of `pyproject.toml`."""
    headings = re.findall(r"^## \[(.+?)\]", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    kinds = set(re.findall(r"^### (\w+)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE))
    version = re.search(r'^version = "(.+)"', text_of(ROOT / "pyproject.toml"), re.MULTILINE)
    assert version
    assert headings[:2] == ["Unreleased", version[1]]
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_pre_commit_calls_targets_of_make():
    """Each hook's entry is `make` and targets that exist."""
    hooks = re.findall(
        r"entry: make (.*)$", text_of(ROOT / ".pre-commit-config.yaml"), re.MULTILINE
    )
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert hooks
    assert {target for hook in hooks for target in hook.split()} <= targets
