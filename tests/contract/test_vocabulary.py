"""The words that the project avoids, and the standard terms to use instead: in documents, comments, strings and names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pygments.lexers import get_lexer_by_name
from pygments.token import Token

from programs import REPOSITORY


class Avoided(NamedTuple):
    pattern: str
    instead: str
    # Where the word is right: text around it, or files by the beginning of their path.
    phrases: str = "$^"
    files: tuple[str, ...] = ()


# Fault injection is a standard term: the simulator injects faults, and tests and benchmarks make it do so.
FAULT_INJECTION = ("local/airbyte-sim/", "tests/e2e/", "tests/support/", "tests/python/programs.py", "bench/src/load")

AVOIDED = [
    Avoided(r"mend(s|ed|ing)?", "fix"),
    Avoided(r"tells?|told", "report, return, log, name, print", phrases=r"tell (the |your )?users"),
    Avoided(
        r"faults?|faulty",
        "invalid field, error, bug; injected failure",
        phrases=r"fault injection|(inject\w*|_sim/)[^.]{0,40}faults?|faults\.(md|rs)|page faults?",
        files=FAULT_INJECTION,
    ),
    Avoided(r"answer(s|ed|ing)?", "response, mitigation; return, respond", phrases=r"answers the [^.]{0,20}questions?"),
    Avoided(r"nobody|somebody", "no one, unauthenticated, another user"),
    Avoided(r"(comes?|came) about|comes? to nothing|came to", "succeed, result in, fail"),
    Avoided(r"at hand", "cached, available"),
    Avoided(r"one's own|of one's own|of ours", "your own, custom; our"),
    Avoided(r"(a|no) texts?", "a string, not valid Unicode", phrases=r"a text (type|file|editor)"),
    Avoided(r"time-outs?", "timeout"),
    Avoided(r"for ever", "forever"),
    Avoided(r"anew", "again"),
    Avoided(r"in vain", "(leave it out)"),
    Avoided(r"stand-ins?|stands? in for", "simulator, fake"),
    Avoided(
        r"refus(e|es|ed|ing|als?)",
        "reject, deny, error response",
        # Of connections it is a standard term.
        phrases=r"connections?[^.]{0,60}refus\w*|refus\w*[^.]{0,60}connections?",
        files=("local/airbyte-sim/",),
    ),
    Avoided(r"licences?", "license"),
    Avoided(r"white space", "whitespace"),
    Avoided(r"character by character|as it came|as they came", "byte for byte, verbatim, unchanged"),
]

# Files that are checked as a whole, and files of which comments, strings and names of functions are checked.
PROSE = {".md", ".yaml", ".yml", ".toml", ".txt", ".html", ".css"}
PROSE_NAMES = {"Makefile", "run", "setup"}
CODE = {
    **{".rs": "rust", ".py": "python"},
    **{".js": "javascript", ".mjs": "javascript", ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript"},
}

# What is not the project's own text.
FOREIGN_DIRECTORIES = {"target", "node_modules", "corpus", "artifacts", "dist", "__pycache__"}
FOREIGN = {"functions/dependencies.txt"}

# A comment's marks at the beginning of a line, or before its text.
MARKS = re.compile(r"^[ \t]*(///|//!|//|/\*\*?|\*/|\*|#+)|(?<=\s)(//[/!]?|#)(?=\s)", re.MULTILINE)


# A variable in a format string.
PLACEHOLDER = re.compile(r"\{\w+(:[^{}\s]*)?\}")


class Finding(NamedTuple):
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text!r}; write: {self.instead}"


def files() -> Iterator[str]:
    """The project's files, relative to its folder."""
    for folder, directories, names in os.walk(REPOSITORY):
        directories[:] = sorted(
            name
            for name in directories
            if name not in FOREIGN_DIRECTORIES and (name in (".ci", ".github") or not name.startswith("."))
        )
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(REPOSITORY).as_posix()
            if is_checked(path):
                yield path


def is_checked(path: str) -> bool:
    name = Path(path)
    known = name.suffix in PROSE | CODE.keys() or name.name in PROSE_NAMES
    return known and path not in FOREIGN and name != Path(__file__).relative_to(REPOSITORY)


def prose(path: str, source: str) -> str:
    """The source with everything but prose masked. All positions and line breaks are kept."""
    language = CODE.get(Path(path).suffix)
    if language is None:
        return source
    parts = []
    for _, token, value in get_lexer_by_name(language).get_tokens_unprocessed(source):
        if token in Token.Name.Function:
            parts.append(value.replace("_", " "))
        elif token in Token.Comment or token in Token.Literal.String:
            parts.append(PLACEHOLDER.sub(lambda match: "\0" * len(match.group()), value))
        else:
            parts.append(re.sub(r"\S", "\0", value))
    return "".join(parts)


def findings(path: str, source: str) -> list[Finding]:
    text = MARKS.sub(lambda mark: " " * len(mark.group()), prose(path, source))
    found = []
    for avoided in AVOIDED:
        if path.startswith(avoided.files):
            continue
        right = [match.span() for match in re.finditer(spaced(avoided.phrases), text, re.IGNORECASE)]
        for match in re.finditer(rf"(?<![\w-])({spaced(avoided.pattern)})(?![\w-])", text, re.IGNORECASE):
            if not any(begin <= match.start() and match.end() <= end for begin, end in right):
                line = text.count("\n", 0, match.start()) + 1
                found.append(Finding(line, " ".join(match.group().split()), avoided.instead))
    return sorted(found)


def spaced(pattern: str) -> str:
    """A pattern that also matches across lines."""
    return pattern.replace(" ", r"\s+")


@pytest.mark.parametrize("path", list(files()))
def test_avoids_words(path):
    found = findings(path, (REPOSITORY / path).read_text(encoding="utf-8"))
    assert not found, "\n".join(["", *map(str, found)])


@pytest.mark.parametrize(
    ("path", "source", "lines"),
    [
        ("README.md", "Mend it.\nNobody is told.\n", [1, 2, 2]),
        ("Makefile", "# Comes\n# about for\n# ever.\n", [1, 2]),
        ("docs/x.md", "Airbyte answers 401. Who answers the question?\n", [1]),
        ("a.rs", '// one\n/// comes\n/// about\nlet faults = "a fault";\n', [2, 4]),
        ("a.rs", "#[test]\nfn a_fault_is_told() {}\n", [2, 2]),
        ("a.rs", "let nobody = at.hand(tell);\n", []),
        ("a.rs", 'let s = r#"no "text" is "a text""#;\n', [1]),
        ("a.rs", 'format!("{fault:?} {nobody}");\n', []),
        ("a.py", '"""What\nis told."""\nmend = f"{fault} mended"  # anew\n', [2, 3, 3]),
        ("a.py", "def test_tells_nobody():\n    tell(nobody)\n", [1, 1]),
        ("a.js", "/*\n * At\n * hand.\n */\nconst told = 'time-out';\n", [2, 5]),
        ("docs/x.md", "A fault-tolerant default; fault injection; a text file; the port refuses new\nconnections.\n", []),
        ("docs/x.md", "The simulator injects faults, and tests/e2e/faults.md lists them.\n", []),
        ("local/airbyte-sim/src/fault.rs", "/// A fault.\n", []),
    ],
)
def test_finds_avoided_words(path, source, lines):
    assert [finding.line for finding in findings(path, source)] == lines
