"""The station JSON as it is read: every problem with a hint, aliases, what is ignored."""

from __future__ import annotations

import json
import time

import pytest

from router.config.exchange import (
    MAX_BYTES,
    SCHEMA,
    Wanted,
    current_settings,
    read_document,
    station_json,
)
from router.errors import ConfigError
from router.model.station import Heartbeat, Station


def read(*stations: object, **more: object) -> tuple[Wanted, ...]:
    return read_document(
        json.dumps({"schema": SCHEMA, "stations": list(stations), **more}).encode()
    )


def refused(data: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        read_document(data)
    return "\n".join(map(str, error.value.problems))


def test_f26_what_is_left_out_says_nothing_and_null_says_none():
    (wanted,) = read({"name": "pacs", "port": None, "description": "", "aeTitle": " PACS "})
    assert wanted.settings == {("port",): None, ("description",): None, ("ae_title",): "PACS"}


def test_f23_a_file_server_is_an_archive_server_and_status_is_ignored():
    (wanted,) = read({"name": "pacs", "isFileServer": True, "status": 7, "statusCheckedAt": []})
    assert wanted.settings == {("archive_server",): True}


def test_f22_no_tls_takes_the_profile_out():
    (off,) = read({"name": "pacs", "enableTls": False, "tlsProfile": "hospital"})
    (on,) = read({"name": "pacs", "enableTls": True, "tlsProfile": "hospital"})
    (as_it_is,) = read({"name": "pacs", "enableTls": True})
    assert [one.settings for one in (off, on, as_it_is)] == [
        {("tls",): None},
        {("tls",): "hospital"},
        {},
    ]


def test_f29_there_is_one_heartbeat_however_it_is_written():
    """What JSON calls enableHeartbeat and YAML heartbeat.enabled is one value, out and in."""
    for is_enabled in (False, True):
        heartbeat = Heartbeat(is_enabled, 90.0)
        told = station_json(Station("pacs", "dicom", heartbeat=heartbeat))
        assert (told["enableHeartbeat"], told["heartbeatIntervalSeconds"]) == (is_enabled, 90)
        (wanted,) = read({"name": "pacs", "enableHeartbeat": is_enabled})
        assert wanted.settings == {("heartbeat", "enabled"): is_enabled}
        known = current_settings(Station("pacs", "dicom", heartbeat=heartbeat))
        assert known["heartbeat", "enabled"] is is_enabled


def test_f27_all_that_is_wrong_is_told_at_once_with_hints():
    bad = [
        {"name": "pacs", "aeTitel": "PACS", "port": 70000, "active": "yes"},
        {"name": "pacs", "isFileServer": True, "isArchiveServer": False},
        {"port": True, "password": "secret"},
        {"name": "x", "enableTls": True, "tlsProfile": None, "heartbeatIntervalSeconds": 0},
        {"name": "y", "commit": "yes"},
        17,
    ]
    words = refused(json.dumps({"schema": "v0", "station": [], "stations": bad}).encode())
    for expected in (
        "unknown key 'station'; did you mean 'stations'?",
        f'"schema" must be "{SCHEMA}"',
        "stations[0] ('pacs'): unknown key 'aeTitel'; did you mean 'aeTitle'?",
        "port must be a whole number from 1 to 65535 or null",
        "active must be true or false",
        "stations[1] ('pacs'): this name is there twice",
        "'isFileServer' and 'isArchiveServer' say different things",
        "stations[2] needs a name",
        "unknown key 'password'",
        "enableTls is true, but tlsProfile names none",
        "heartbeatIntervalSeconds must be a number of seconds",
        "stations[4] ('y'): commit must be true, false or \"query\"",
        "stations[5] must be an object",
    ):
        assert expected in words
    assert "secret" not in words.replace("'password'", ""), "what is written there is not repeated"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "line 1, column 2: no JSON"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": 1, "schema": 2}', "'schema' is there twice"),
        (b"[]", "must be an object"),
        (b"9" * 5000, "no JSON"),
        (b"{}", '"stations" must be a list'),
        (b" " * (MAX_BYTES + 1), "larger than 4 MiB"),
    ],
)
def test_f27_a_file_that_is_none_is_refused_in_words(data: bytes, words: str):
    assert words in refused(data)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{" + "".join(f'"k{n}": 1, ' for n in range(150_000)) + '"k149999": 1}', "there twice"),
        ('{"stations": [{' + ", ".join(f'"k{n}": 1' for n in range(150_000)) + "}]}", "and 1499"),
        ('{"stations": [' + "{}, " * 900_000 + "{}]}", "are more than the 10000"),
        ('{"' + "k" * 3_000_000 + '": 1}', "kkk…"),
    ],
    ids=["a key twice", "keys nobody knows", "stations", "a long key"],
)
def test_m17_a_bomb_of_stations_ends_in_words_soon(document: str, words: str):
    began = time.process_time()
    told = refused(document.encode())
    assert time.process_time() - began < 4.0, "two seconds of an idle machine"
    assert words in told
    assert len(told) < 10_000


def test_f27_a_flood_of_problems_is_cut():
    words = refused(
        json.dumps({"schema": SCHEMA, "stations": [{"name": ""}] * 5000}).encode()
    ).splitlines()
    assert (len(words), words[-1]) == (51, "and 4950 more")
