"""Writes router/morph/deidentification.tsv from a JSON copy of PS3.15 table E.1-1.

    python -m tests.support.write_deidentification confidentiality_profile_attributes.json 2024b

The JSON has one object for each row of the table (tag, basicProfile, one key for each option). Only
tags and actions are taken.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "router" / "morph" / "deidentification.tsv"
OPTIONS = {
    "rtnUIDsOpt": "uids",
    "rtnDevIdOpt": "device",
    "rtnInstIdOpt": "institution",
    "rtnPatCharsOpt": "characteristics",
    "rtnLongFullDatesOpt": "full_dates",
    "rtnLongModifDatesOpt": "modified_dates",
    "cleanDescOpt": "descriptors",
    "cleanStructContOpt": "structured_content",
    "cleanGraphOpt": "graphics",
}


def main(source: str, edition: str) -> None:
    rows = []
    for row in json.loads(Path(source).read_text(encoding="utf-8")):
        tag = row["tag"].strip("()").replace(",", "").upper().replace("X", "x")
        if len(tag) != 8:
            continue  # the row of all private attributes, which the step treats by itself
        cells = [f"{name}={row[key]}" for key, name in OPTIONS.items() if row.get(key)]
        rows.append("\t".join((tag, row["basicProfile"], " ".join(cells))).rstrip())
    head = [
        f"# PS3.15 {edition}, table E.1-1: tag (x is any digit), action of the Basic Profile, and of the",
        "# options that differ: K keep, C clean. Written by tests/support/write_deidentification.py.",
    ]
    TARGET.write_text("\n".join([*head, *sorted(rows)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
