"""`fmt`: the same meaning and every comment, whatever it moves; a second run changes nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from router.cli.author import fmt
from router.config.compile import digest
from router.config.folder import Source
from router.config.layout import formatted, is_same
from router.config.report import Report
from router.config.text import parse
from router.config.tree import merge
from tests.support.configuration import BASE, write
from tests.support.process import PROJECT

BEFORE = """\
# yaml-language-server: $schema=./x.json
# About the whole file.

# What goes where.
rules:
- route:
   - pacs      # the archive
  # Only sections.
  match:
        Modality:   [CT,
           MR]
  name: a
# off for now
# - name: b
  # still about a
stations:


    pacs:
        # where it is
        host: pacs.example
        description: >
            a long
              text
            # no comment
        port:   104   # the usual
        ae_title: "PACS"
        send: true
version: 1
# the end
"""
AFTER = """\
# yaml-language-server: $schema=./x.json
# About the whole file.

version: 1

# off for now
# - name: b
# still about a
stations:

  pacs:
    description: >
        a long
          text
        # no comment
    ae_title: "PACS"
    # where it is
    host: pacs.example
    port:   104   # the usual
    send: true

# What goes where.
rules:
  - name: a
    # Only sections.
    match:
      Modality:   [CT,
         MR]
    route:
      - pacs      # the archive

# the end
"""


def test_keys_move_with_their_comments_and_names_stay():
    assert formatted(BEFORE) == AFTER
    assert formatted(AFTER) == AFTER


@pytest.mark.parametrize("folder", ["rules", "samples"])
def test_what_we_ship_is_in_order(folder):
    for path in (PROJECT / folder).rglob("*.yaml"):
        text = path.read_text("utf-8")
        assert formatted(text) == text, path


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\tx: 1\n", "x: !tag y\n"])
def test_what_cannot_be_read_has_no_layout(text):
    assert formatted(text) is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "{version: 1}\n", "- a\n- b\n", "word\n"])
def test_what_is_no_block_stays(text):
    assert formatted(text) == text


def test_an_anchor_is_not_moved_behind_its_alias():
    text = "rules:\n- {name: a, match: &m {Modality: CT}}\nstations:\n  x:\n    description: *m\n"
    found = formatted(text)
    assert found is not None
    assert found.index("&m") < found.index("*m")


KEYS = st.sampled_from(["name", "host", "send", "match", "x", "description", "route", "tls"])
PLAIN = st.sampled_from(
    ["a", "'b'", '"c d"', "[1, 2]", "{k: v}", "0012", "|\n%s  two\n%s  lines", ""]
)


@st.composite
def documents(draw):
    """Mappings and lists at odd indentations, with comments and empty lines between."""

    def noise(indent):
        kind = draw(st.integers(0, 8))
        return {0: "\n", 1: f"{indent}# note\n", 2: f"{indent}   # deeper\n"}.get(kind, "")

    def value(depth, indent):
        kind = draw(st.integers(0, 4)) if depth < 3 else 0
        step = " " * draw(st.integers(1, 5))
        if kind == 1:
            return "\n" + mapping(depth + 1, indent + step)
        if kind == 2:
            inner = indent + draw(st.sampled_from(["", "  ", "    "]))
            items = draw(st.integers(1, 3))
            return "\n" + "".join(
                f"{noise(inner)}{inner}- {item(depth + 1, inner + '  ')}" for _ in range(items)
            )
        return (
            " " + draw(PLAIN).replace("%s", indent) + draw(st.sampled_from(["", "  # why"])) + "\n"
        )

    def item(depth, indent):
        if depth < 3 and draw(st.booleans()):
            return mapping(depth, indent).removeprefix(indent)
        return draw(st.sampled_from(["a", "'b'", "{k: v}"])) + "\n"

    def mapping(depth, indent):
        keys = draw(st.lists(KEYS, min_size=1, max_size=4, unique=True))
        lines = [f"{indent}{key}:{value(depth, indent)}" for key in keys]
        return lines[0] + "".join(noise(indent) + line for line in lines[1:])

    sections = draw(
        st.lists(
            st.sampled_from(["rules", "stations", "router", "listeners", "version", "other"]),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return "".join(f"{noise('')}{name}:{value(0, '')}" for name in sections)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_the_meaning_and_the_comments_stay_and_a_second_run_changes_nothing(text):
    found = formatted(text)
    if found is None:
        return
    report = Report()
    one, other = parse(text, "", report), parse(found, "", Report())
    assert is_same(one, other), found
    assert sorted(comments(found)) == sorted(comments(text))
    assert formatted(found) == found
    before = digest(merge([Source("a", "a", text)], Report()))
    assert digest(merge([Source("a", "a", found)], Report())) == before


def comments(text):
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


def run(folder: Path, *words: str):
    return CliRunner().invoke(fmt, ["--config", str(folder), *words], standalone_mode=False)


def test_the_command_writes_what_it_says_and_keeps_the_permissions(tmp_path):
    write(tmp_path, base=BASE, site=BEFORE.replace("version: 1\n", ""))
    path = tmp_path / "site.yaml"
    path.chmod(0o640)
    checked = run(tmp_path, "--check")
    assert (checked.return_value, path.read_text("utf-8")) == (
        1,
        BEFORE.replace("version: 1\n", ""),
    )
    done = run(tmp_path)
    assert done.return_value == 0
    assert "laid out" in done.output
    assert path.read_text("utf-8") == AFTER.replace("version: 1\n\n", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["base.yaml", "site.yaml"]
    assert run(tmp_path, "--check").return_value == 0


def test_a_folder_that_cannot_be_read_is_left_alone(tmp_path):
    write(tmp_path, base=BASE, good="rules:\n- route: [x]\n  name: a\n", bad="rules: [\n")
    done = run(tmp_path)
    assert done.return_value == 1
    assert (tmp_path / "good.yaml").read_text("utf-8") == "rules:\n- route: [x]\n  name: a\n"
    assert "bad.yaml:1:" in done.output + (done.stderr if done.stderr_bytes else "")
