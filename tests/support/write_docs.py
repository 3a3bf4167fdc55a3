"""`make docs`: writes what is generated: the schema editors read, and docs/CONFORMANCE.md.

The conformance statement's table of sections comes from the citations in the source, so that a
citation is never without code, nor the table without a reader.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict

from tests.support.process import PROJECT, run
from tests.support.sources import product

CONFORMANCE = PROJECT / "docs" / "CONFORMANCE.md"
SCHEMA = PROJECT / "schemas" / "dicom-router.schema.json"
_CITATION = re.compile(
    r"PS3\.(?P<part>\d{1,2}) (?P<section>(?:annex |table )?[A-Z0-9]+(?:[.-][0-9]+)*)(?=$|[^\w])"
)
_HEAD = """\
# Conformance: where the standard is implemented

Generated from the citations in the source by `make docs`. Each line: a section of the DICOM
standard, and the modules that implement or obey it.

| section | modules |
|---|---|
"""


def conformance() -> str:
    """The text of docs/CONFORMANCE.md."""
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for source in product():
        for match in _CITATION.finditer(source.text):
            if any(character.isdigit() for character in match["section"]) or match[
                "section"
            ].startswith("annex"):
                found[int(match["part"]), match["section"]].add(source.module)
    rows = [
        f"| PS3.{part} {section} | {', '.join(f'`{name}`' for name in sorted(found[part, section]))} |"
        for part, section in sorted(found)
    ]
    return _HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Write both files; 1 when the schema could not be made."""
    CONFORMANCE.write_text(conformance(), encoding="utf-8")
    done = run([sys.executable, "-m", "router", "schema"])
    if done.returncode == 0:
        SCHEMA.write_text(done.stdout, encoding="utf-8")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
