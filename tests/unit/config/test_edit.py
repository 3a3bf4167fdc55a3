"""Settings changed in the text of a file: nothing else moves, or nothing is changed."""

from __future__ import annotations

import pytest

from router.config.edit import Unwritable, edited, new_station

BLOCK = """\
# About the whole file.
stations:
  # The archive.
  pacs:
    ae_title: "PACS"   # as it is registered
    # in the cellar
    port: 104          # the old port
    heartbeat: {every: 5m}
    retry:
      first: 10s
  ct: {ae_title: CT1, host: 10.1.1.21, port: 104}  # no more
"""


def test_only_the_characters_of_the_value_change():
    changes = {("port",): 11112, ("ae_title",): "true", ("heartbeat", "enabled"): False}
    assert edited(BLOCK, {"pacs": changes}) == BLOCK.replace(
        "port: 104          #", "port: 11112          #"
    ).replace('"PACS"', '"true"').replace("{every: 5m}", "{enabled: false, every: 5m}")


def test_a_new_key_goes_behind_a_line_and_a_key_goes_with_its_line():
    text = edited(BLOCK, {"pacs": {("active",): False, ("port",): None}})
    lines = BLOCK.splitlines(keepends=True)
    port = next(place for place, line in enumerate(lines) if "port: 104    " in line)
    assert text == "".join([*lines[:port], "    active: false\n", *lines[port + 1 :]])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({("port",): None}, "{ae_title: CT1, host: 10.1.1.21}"),
        ({("host",): None}, "{ae_title: CT1, port: 104}"),
        ({("port",): None, ("host",): None, ("send",): True}, "{send: true, ae_title: CT1}"),
        ({("ae_title",): "a, b"}, '{ae_title: "a, b", host: 10.1.1.21, port: 104}'),
    ],
)
def test_flow_style_stays_flow_style(settings, expected):
    text = edited(BLOCK, {"ct": settings})
    line = text.splitlines()[-1]
    assert line.replace(", }", "}") == f"  ct: {expected}  # no more"
    assert text.splitlines()[:-1] == BLOCK.splitlines()[:-1]


def test_line_ends_of_windows_stay():
    windows = BLOCK.replace("\n", "\r\n")
    text = edited(windows, {"pacs": {("active",): False}, "ct": {("active",): False}})
    assert text.count("\n") == text.count("\r\n") == windows.count("\r\n") + 1


@pytest.mark.parametrize(
    "text",
    [
        "stations:\n  a: &one {ae_title: A}\n  pacs: *one\n",
        "stations:\n  pacs:\n    ae_title: >-\n      PACS\n    active: &x true\n    send: *x\n",
    ],
)
def test_what_a_change_would_spoil_is_left_to_people(text):
    with pytest.raises(Unwritable) as error:
        edited(text, {"pacs": {("active",): False, ("ae_title",): "B"}})
    assert "pacs" in str(error.value.problems[0])


def test_a_station_of_its_own_file_reads_as_a_person_writes_it():
    settings = {("ae_title",): "PACS", ("port",): 104, ("heartbeat", "every"): "5m"}
    assert new_station("0012", {**settings, ("heartbeat", "enabled"): False}) == (
        'stations:\n  "0012":\n    ae_title: PACS\n    port: 104\n'
        "    heartbeat: {every: 5m, enabled: false}\n"
    )
