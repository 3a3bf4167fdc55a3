"""HTTP answers read by instance: each row of the specification, and totality."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicomweb.outcome import (
    HttpAnswer,
    Verdict,
    item_verdict,
    read_answer,
    retry_after_seconds,
)
from router.dicomweb.profiles import PROFILES, profile_named
from router.model.delivery import Result
from router.model.plug import Profile

NOW = 1_800_000_000.0
GENERIC = profile_named("generic")
AZURE = profile_named("azure")
D, R, B, H, X = Result.DELIVERED, Result.RETRY, Result.BUSY, Result.HOLD, Result.DEAD
UIDS = ("1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4")


def item(uid: str | None, **attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if uid is not None:
        found["00081155"] = {"vr": "UI", "Value": [uid]}
    for name, tag in (("failed", "00081197"), ("warned", "00081196")):
        if name in attributes:
            found[tag] = {"vr": "US", "Value": [attributes[name]]}
    return found


def answer(
    status: int,
    stored: list[dict[str, Any]] | None = None,
    failed: list[dict[str, Any]] | None = None,
    **other: list[dict[str, Any]],
) -> HttpAnswer:
    body: dict[str, Any] = {}
    if stored is not None:
        body["00081199"] = {"vr": "SQ", "Value": stored}
    if failed is not None:
        body["00081198"] = {"vr": "SQ", "Value": failed}
    for tag, items in other.items():
        body[tag.removeprefix("t")] = {"vr": "SQ", "Value": items}
    return HttpAnswer(status, "application/dicom+json", json.dumps(body).encode())


def results(
    found: HttpAnswer, uids: tuple[str, ...] = UIDS, profile: Profile = AZURE
) -> list[Result]:
    return [verdict.result for verdict in read_answer(uids, found, profile, NOW)]


def again(found: HttpAnswer, uids: tuple[str, ...] = UIDS) -> list[str]:
    return [verdict.again for verdict in read_answer(uids, found, AZURE, NOW)]


def test_F18_all_stored() -> None:
    assert results(answer(200, [item(uid) for uid in UIDS])) == [D] * 4


def test_F18_202_with_warnings_only_is_delivered() -> None:
    found = answer(202, [item(uid, warned=45063) for uid in UIDS])
    verdicts = read_answer(UIDS, found, AZURE, NOW)
    assert [verdict.result for verdict in verdicts] == [D] * 4
    assert "warning" in verdicts[0].message


def test_F18_202_mixed_is_decided_by_instance() -> None:
    found = answer(
        202,
        [item(UIDS[0])],
        [item(UIDS[1], failed=43264), item(UIDS[2], failed=45070), item(UIDS[3], failed=272)],
    )
    assert results(found) == [D, X, D, R]


def test_F18_409_of_duplicates_is_delivered() -> None:
    assert results(answer(409, None, [item(uid, failed=45070) for uid in UIDS])) == [D] * 4


def test_F18_pending_elsewhere_is_retried_after_half_a_minute() -> None:
    found = answer(409, None, [item(UIDS[0], failed=45071)])
    assert read_answer(UIDS[:1], found, AZURE, NOW)[0].retry_after_seconds == 30.0


def test_F18_uids_in_neither_sequence_go_again_alone() -> None:
    found = answer(200, [item(UIDS[0]), item(UIDS[2])])
    assert again(found) == ["no", "alone", "no", "alone"]
    alone = read_answer(UIDS[1:2], answer(200, [item("9.9")]), AZURE, NOW)[0]
    assert (alone.result, alone.again) == (R, "no")


def test_F18_failures_without_uid_are_told_by_elimination_where_counts_allow() -> None:
    found = answer(202, [item(uid) for uid in UIDS[:2]], [item(None, failed=43264)] * 2)
    assert results(found) == [D, D, X, X]
    one_missing = answer(202, [item(uid) for uid in UIDS[:2]], [item(None, failed=43264)])
    assert again(one_missing) == ["no", "no", "alone", "alone"]
    two_reasons = answer(
        202,
        [item(uid) for uid in UIDS[:2]],
        [item(None, failed=43264), item(None, failed=272)],
    )
    assert again(two_reasons) == ["no", "no", "alone", "alone"]


def test_F18_other_failures_sequence_is_about_nobody_in_particular() -> None:
    found = answer(202, [item(UIDS[0])], None, t0008119A=[item(None, failed=272)])
    assert again(found) == ["no", "alone", "alone", "alone"]
    assert results(answer(409, None, None, t0008119A=[item(None, failed=43264)]), UIDS[:1]) == [X]


def test_F18_an_instance_named_on_both_sides_is_sent_again() -> None:
    found = answer(202, [item(UIDS[0])], [item(UIDS[0], failed=43264)])
    assert again(found, UIDS[:2]) == ["alone", "alone"]
    assert results(found, UIDS[:1]) == [R]


@pytest.mark.parametrize("status", [400, 409, 500])
def test_F18_a_data_set_decides_whatever_the_status_line_says(status: int) -> None:
    found = answer(status, [item(UIDS[0])], [item(UIDS[1], failed=0xC000)])
    assert results(found, UIDS[:2]) == [D, X]


def test_F18_lower_case_keys_numbers_as_text_and_a_wrapping_array_are_understood() -> None:
    body = [
        {
            "00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3.1\0"]}}]},
            "00081198": {
                "vr": "SQ",
                "value": [
                    {
                        "00081155": {"vr": "UI", "Value": ["1.2.3.2 "]},
                        "00081197": {"vr": "US", "Value": ["45070"]},
                    }
                ],
            },
        }
    ]
    text = json.dumps(body).replace("00081199", "00081199").lower().replace("ui", "UI")
    assert results(HttpAnswer(202, "", text.encode()), UIDS[:2]) == [D, D]


@pytest.mark.parametrize(
    ("status", "single", "batch", "how"),
    [
        (204, R, R, "no"),
        (200, R, R, "no"),
        (202, R, R, "no"),
        (400, R, R, "halved"),
        (401, H, H, "no"),
        (403, H, H, "no"),
        (404, H, H, "no"),
        (405, H, H, "no"),
        (406, X, R, "halved"),
        (408, R, R, "no"),
        (409, R, R, "halved"),
        (411, H, H, "no"),
        (413, X, R, "halved"),
        (415, X, R, "halved"),
        (418, X, R, "halved"),
        (424, B, B, "no"),
        (425, R, R, "no"),
        (429, B, B, "no"),
        (500, R, R, "no"),
        (502, R, R, "no"),
        (503, B, B, "no"),
        (504, R, R, "no"),
        (507, B, B, "no"),
        (599, R, R, "no"),
        (301, H, H, "no"),
        (307, H, H, "no"),
        (101, R, R, "no"),
    ],
)
def test_F18_a_status_without_a_data_set(
    status: int, single: Result, batch: Result, how: str
) -> None:
    found = HttpAnswer(status, "text/html", b"<html>an error page</html>")
    alone = read_answer(UIDS[:1], found, GENERIC, NOW)
    assert [(alone[0].result, alone[0].again, alone[0].status)] == [(single, "no", status)]
    several = read_answer(UIDS, found, GENERIC, NOW)
    assert {(verdict.result, verdict.again) for verdict in several} == {(batch, how)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"00081199":',
        b"<NativeDicomModel/>",
        b"[" * 100_000,
        b'{"00081199": 7}',
        b"\xff\xfe",
        b'{"00081199": {"Value": [7, null, {"00081155": {"Value": [9]}}]}}',
    ],
)
def test_F18_an_unreadable_success_is_retried_and_never_taken_for_one(body: bytes) -> None:
    verdicts = read_answer(UIDS, HttpAnswer(200, "application/dicom+json", body), AZURE, NOW)
    assert {verdict.result for verdict in verdicts} == {R}


@pytest.mark.parametrize(
    ("reason", "profile", "result"),
    [
        (0x0110, "azure", R),
        (0x0122, "azure", X),
        (0xC122, "azure", X),
        (0xA700, "azure", B),
        (0xA771, "azure", B),
        (0xA771, "dcm4chee", X),
        (0xA774, "dcm4chee", D),
        (0xA77A, "dcm4chee", R),
        (43264, "azure", X),
        (43265, "azure", X),
        (45070, "azure", D),
        (0x0111, "orthanc", D),
        (45071, "azure", R),
        (0xB001, "generic", X),
        (0xC409, "dcm4chee", X),
        (0xC499, "dcm4chee", X),
        (0x0124, "generic", H),
        (0, "orthanc", R),
        (None, "orthanc", R),
        (0x0210, "generic", R),
    ],
)
def test_f93_F18_failure_reasons_by_profile(
    reason: int | None, profile: str, result: Result
) -> None:
    assert item_verdict(reason, profile_named(profile)).result is result


def test_F18_every_reason_has_one_result_with_every_profile() -> None:
    for profile in PROFILES:
        for reason in range(0x10000):
            assert isinstance(item_verdict(reason, profile), Verdict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", None),
        ("-5", None),
        ("99999999999", 3600.0),
        ("1e400", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2055 08:01:00 GMT", 3600.0),
        ("Fri, 15 Jan 1999 08:01:00 GMT", None),
        ("Fri, 99 Jan 2027 99:99:99 GMT", None),
        ("9" * 5000, 3600.0),
    ],
)
def test_F18_retry_after_in_seconds_as_a_date_and_absurd(text: str, seconds: float | None) -> None:
    assert retry_after_seconds(text, NOW) == seconds


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "00081199",
                    "00081198",
                    "0008119A",
                    "0008119a",
                    "00081155",
                    "00081197",
                    "Value",
                    "vr",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(100, 999),
    st.one_of(_json.map(lambda found: json.dumps(found).encode()), st.binary(max_size=60)),
    st.integers(1, 4),
    st.sampled_from(PROFILES),
    st.text(max_size=20),
)
def test_F18_every_answer_gives_each_instance_exactly_one_verdict(
    status: int, body: bytes, count: int, profile: Profile, retry_after: str
) -> None:
    found = HttpAnswer(status, "application/dicom+json", body, retry_after)
    verdicts = read_answer(UIDS[:count], found, profile, NOW)
    assert len(verdicts) == count
    for verdict in verdicts:
        assert verdict.result is not D or b"00081155" in body or b"00081198" in body
        assert verdict.again == "no" or count > 1
        assert len(verdict.message) < 300
