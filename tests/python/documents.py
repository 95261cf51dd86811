"""Code, links, headings and tables in the project's documents."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from programs import REPOSITORY

PATTERNS = ("*.md", "docs/*.md", "clients/*/*.md", "examples/*/*.md", "tests/[!.]*/*.md")
PATHS = sorted(path for pattern in PATTERNS for path in REPOSITORY.glob(pattern))

# Programs at the beginning of a command in a sentence. In a code block, every line is a command.
PROGRAMS = {
    *(".ci/run", ".venv/dev/bin/cargo-lambda", ".venv/test/bin/pytest", ".venv/test/bin/sam", "aws", "bash", "cargo", "curl", "docker"),
    *("gh", "git", "make", "npm", "npx", "openssl", "pip", "python", "python3", "rustup", "sam", "sh"),
}

ASSIGNMENT = r"[A-Z_]+=\S+ +"


class Found(NamedTuple):
    """A part of a document."""

    document: Path
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(REPOSITORY)}: {self.text}"


@functools.cache
def parsed(document: Path) -> list[Token]:
    """All tokens of a document. Inline tokens follow their parent."""
    flat = []
    for token in MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8")):
        flat += [token, *(token.children or [])]
    return flat


def blocks(kind: str) -> Iterator[Found]:
    """The code blocks of a language."""
    for document in PATHS:
        for token in parsed(document):
            if token.type == "fence" and token.info == kind:
                yield Found(document, token.content)


def inline_code() -> Iterator[Found]:
    for document in PATHS:
        for token in parsed(document):
            if token.type == "code_inline":
                yield Found(document, token.content)


def commands() -> list[Found]:
    """All shell commands without duplicates, first those in blocks."""
    found = []
    for block in blocks("sh"):
        lines = block.text.replace("\\\n", " ").splitlines()
        found += [Found(block.document, " ".join(line.split())) for line in lines if line.strip()]
    for code in inline_code():
        words = re.sub(f"^({ASSIGNMENT})*", "", code.text).split()
        # The name of a program alone is not a command, but that of a script is.
        if words and words[0] in PROGRAMS and (len(words) > 1 or "/" in words[0]):
            found.append(code)
    firsts: dict[str, Found] = {}
    for command in found:
        firsts.setdefault(command.text, command)
    return list(firsts.values())


def links() -> Iterator[Found]:
    for document in PATHS:
        for token in parsed(document):
            if token.type == "link_open":
                yield Found(document, str(token.attrs["href"]))


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub generates for the headings."""
    tokens = parsed(document)
    titles = (tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def rows(document: Path, first_heading: str) -> list[list[str]]:
    """The cells of the tables whose first column has this heading."""
    tables: list[list[list[str]]] = []
    tokens = parsed(document)
    for i, token in enumerate(tokens):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("th_open", "td_open"):
            tables[-1][-1].append(tokens[i + 1].content)
    return [row for table in tables if table[0][0] == first_heading for row in table[1:]]
