"""QIDO-RS by profile: what is asked, how pages are merged, what is matched here, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from router.clock import Clock
from router.dicom.json_model import to_json
from router.dicom.keys import parse_keys
from router.dicomweb.outcome import HttpAnswer
from router.dicomweb.profiles import profile_named
from router.dicomweb.search import search
from router.errors import Busy, DeliveryError, Rejected, Unreachable
from router.model.query import Level, Query
from router.peers.search import Search

STUDIES = [
    {
        "StudyInstanceUID": f"1.2.{number}",
        "PatientName": f"YAMADA{number}^Tarou" if number % 2 else f"SUZUKI{number}^Hana",
        "PatientID": f"P{number}",
        "PatientSex": "F" if number % 3 else "M",
        "StudyDate": f"202601{number + 10}",
    }
    for number in range(9)
]


class Server:
    """Pages over STUDIES. It filters by nothing, as an origin server may that ignores a key."""

    def __init__(self, studies: list[dict[str, str]] = STUDIES) -> None:
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self.studies = [to_json(parse_keys(f"{k}={v}" for k, v in one.items())) for one in studies]

    def get(self, resource: str, _seconds: float) -> HttpAnswer:
        path, _, text = resource.partition("?")
        parameters = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
        self.asked.append((path, parameters))
        asked = dict(parameters)
        first = int(asked["offset"])
        page = self.studies[first : first + int(asked["limit"])]
        if not page:
            return HttpAnswer(204)
        return HttpAnswer(200, "application/dicom+json", json.dumps(page).encode())

    def matched_by(self, number: int = 0) -> dict[str, str]:
        """The keys of a request that match."""
        others = {"includefield", "limit", "offset"}
        return {key: value for key, value in self.asked[number][1] if key not in others}


def run(
    get: Callable[[str, float], HttpAnswer],
    *keys: str,
    profile: str = "azure",
    limit: int = 100,
    level: Level = "STUDY",
    wish: Callable[[], bool] = lambda: False,
    **changes: object,
) -> Search:
    query = Query(level, parse_keys(("StudyInstanceUID", *keys)), limit, 20.0)
    used = replace(profile_named(profile), **changes)  # type: ignore[arg-type]
    return Search(search(get, used, query, wish, Clock()))


def uids(answers: Iterator[Mapping] | Search) -> list[str]:
    return [one[0x0020000D].text for one in answers]


def test_f93_a_wildcard_on_a_name_is_asked_as_a_superset_and_matched_here() -> None:
    server = Server()
    found = run(server.get, "PatientName=yamada*")
    assert uids(found) == ["1.2.1", "1.2.3", "1.2.5", "1.2.7"]
    assert server.matched_by() == {"00100010": "yamada", "fuzzymatching": "true"}
    assert not found.ending.is_truncated


def test_f93_wildcards_and_unknown_keys_are_not_asked_where_the_server_has_none() -> None:
    server = Server()
    keys = ("PatientID=P?", "PatientSex=M", "StudyDate=20260110-20260113")
    assert uids(run(server.get, *keys)) == ["1.2.0", "1.2.3"]
    assert server.matched_by() == {"00080020": "20260110-20260113"}
    plain = Server()
    assert uids(run(plain.get, *keys, profile="generic")) == ["1.2.0", "1.2.3"]
    assert plain.matched_by() == {
        "00100020": "P?",
        "00100040": "M",
        "00080020": "20260110-20260113",
    }


def test_f93_a_list_is_one_request_for_each_value() -> None:
    server = Server()
    assert uids(run(server.get, r"PatientID=P1\P4")) == ["1.2.1", "1.2.4"]
    assert [server.matched_by(number) for number in (0, 2)] == [
        {"00100020": "P1"},
        {"00100020": "P4"},
    ]


def test_f93_no_key_that_can_be_asked_reads_no_archive() -> None:
    server = Server()
    with pytest.raises(Rejected, match="can search by none of these keys"):
        uids(run(server.get, "PatientSex=M"))
    assert not server.asked


def test_f93_pages_that_shift_give_each_study_once() -> None:
    server = Server()
    whole = server.get

    def shifting(resource: str, seconds: float) -> HttpAnswer:
        answer = whole(resource, seconds)
        newest = to_json(parse_keys([f"StudyInstanceUID=1.9.{len(server.asked)}"]))
        server.studies.insert(0, newest)
        return answer

    found = uids(run(shifting, query_limit=4))
    assert sorted(set(found)) == sorted(found)
    assert {f"1.2.{number}" for number in range(9)} <= set(found)


def test_a_server_that_ignores_the_offset_is_no_endless_search() -> None:
    server = Server()

    def stuck(resource: str, seconds: float) -> HttpAnswer:
        return server.get(resource.replace("offset=9", "offset=0"), seconds)

    assert len(uids(run(stuck))) == 9
    assert len(server.asked) == 2


def test_the_limit_and_a_wish_to_cancel_say_that_there_is_more() -> None:
    found = run(Server().get, limit=3)
    assert len(uids(found)) == 3
    assert found.ending.is_truncated
    wishes = iter([False, True])
    found = run(Server().get, query_limit=2, wish=lambda: next(wishes))
    assert len(uids(found)) == 2
    assert (found.ending.is_truncated, found.ending.words) == (True, "cancelled")


def test_below_a_study_the_uid_is_in_the_path_and_keys_above_are_not_asked() -> None:
    server = Server()
    query = Query(
        "SERIES", parse_keys(["StudyInstanceUID=1.2", "PatientID=P", "Modality=CT"]), 9, 9
    )
    assert not list(Search(search(server.get, profile_named("azure"), query, bool, Clock())))
    assert server.asked[0][0] == "studies/1.2/series"
    assert server.matched_by() == {"00080060": "CT"}


def test_values_are_percent_encoded() -> None:
    asked: list[str] = []

    def get(resource: str, _seconds: float) -> HttpAnswer:
        asked.append(resource)
        return HttpAnswer(204)

    assert not uids(run(get, "PatientName=Conceição^João, M", profile="generic"))
    assert "00100010=Concei%C3%A7%C3%A3o%5EJo%C3%A3o%2C%20M&" in asked[0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpAnswer(400), Rejected),
        (HttpAnswer(401), Rejected),
        (HttpAnswer(404), Rejected),
        (HttpAnswer(429), Busy),
        (HttpAnswer(503), Busy),
        (HttpAnswer(302), DeliveryError),
        (HttpAnswer(200, "text/html", b"<html>"), DeliveryError),
        (HttpAnswer(200, "application/dicom+json", b"{}"), DeliveryError),
        (HttpAnswer(200, "application/dicom+json", b"7"), DeliveryError),
        (HttpAnswer(200, "application/dicom+json", b"[1, 2]"), DeliveryError),
        (HttpAnswer(200, "application/dicom+json", b"[" * 100_000), DeliveryError),
    ],
)
def test_an_answer_that_is_none_is_an_error_in_words(
    answer: HttpAnswer, error: type[DeliveryError]
) -> None:
    with pytest.raises(error, match="QIDO-RS"):
        uids(run(lambda _resource, _seconds: answer))


def test_a_slow_server_costs_no_more_than_the_deadline() -> None:
    query = Query("STUDY", parse_keys(["StudyInstanceUID"]), 9, 0.0)
    with pytest.raises(Unreachable, match="not over in time"):
        list(Search(search(Server().get, profile_named("azure"), query, bool, Clock())))
