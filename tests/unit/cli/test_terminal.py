"""What `top` and `tap` show in a terminal of 80 columns: nothing that matters is cut off."""

from __future__ import annotations

from router.cli.common import table
from router.cli.tap import wrapped
from router.cli.top_shown import picture_lines


def station(name, status="online", **more):
    facts = {
        "queued": 0, "oldest_seconds": None, "received_per_second": 0.0,
        "delivered_per_second": 0.0, "delivered_bytes_per_second": 0.0, "reason": "",
    }  # fmt: skip
    return {"name": name, "status": status, **facts, **more}


def picture(**more):
    account = dict.fromkeys(
        ("received", "delivered", "queued", "sending", "held", "dead", "quarantined", "unmatched"),
        123_456,
    )
    made = {
        "router": "hospital-a-edge", "running": True, "at": "2026-11-27T14:05:00Z",
        "roles": dict.fromkeys(("deliver", "deploy", "receive", "watch", "web", "receive-2"), 0.1),
        "account": {**account, "balanced": True}, "associations_open": 12,
        "received_per_second": 120.5, "received_bytes_per_second": 63e6,
        "delivered_per_second": 99.1, "delivered_bytes_per_second": 52e6,
        "storage_free_bytes": 412e9,
        "stations": [
            station("cloud-of-the-region", "offline", queued=12_345, oldest_seconds=93_000.0,
                    reason="connection refused: 10.1.1.9 port 11112"),
            station("pacs", queued=7, delivered_per_second=99.1, delivered_bytes_per_second=52e6),
        ],
        "failures": [
            {"at": "2026-11-27T14:04:59Z", "station": "pacs", "task_id": 812, "kind": "quarantined",
             "message": "the morph set AccessionNumber: longer than 16 characters"},
            {"at": "2026-11-26T23:04:59Z", "station": "cloud-of-the-region", "task_id": 1,
             "kind": "dead", "message": "HTTP 409"},
        ],
    }  # fmt: skip
    return {**made, **more}


def test_80_columns_hold_the_balance_every_role_and_the_reasons():
    lines = picture_lines(picture(), width=80, height=24)
    assert max(map(len, lines)) <= 80 and len(lines) <= 24
    text = "\n".join(lines)
    for told in (
        "balanced",
        "123456 unmatched",
        "123456 received",
        "receive-2 ok",
        "412.0 GB free",
    ):
        assert told in text, told
    (offline,) = [one for one in lines if one.startswith("cloud-of")]
    assert "connection refus" in offline and "1.1 d" in offline
    assert "14:04:59     pacs" in text and "11-26 23:04  cloud" in text
    assert "the morph set Acc" in text
    assert "OUT/S" in text and " OUT " not in text


def test_numbers_stand_under_one_another():
    lines = picture_lines(picture(), width=80)
    heading = next(one for one in lines if one.startswith("STATION"))
    end = heading.index("QUEUED") + len("QUEUED")
    rows = lines[lines.index(heading) + 1 : lines.index(heading) + 3]
    assert [row[:end].rpartition(" ")[2] for row in rows] == ["12345", "7"]


def test_a_wide_terminal_and_a_pipe_get_everything():
    for width in (None, 160):
        lines = picture_lines(picture(), width=width)
        assert any("52.0 MB/s" in one and one.startswith("pacs") for one in lines)
        assert any(one.startswith("account") and "unmatched" in one for one in lines)


def test_a_balance_that_does_not_hold_comes_first():
    wrong = {**picture()["account"], "balanced": False}
    lines = picture_lines(picture(account=wrong), width=80)
    assert any(one.startswith("account    NOT BALANCED") for one in lines)


def test_a_column_of_numbers_is_aligned_at_its_end():
    assert (
        table([["A", "N"], ["x", "10"], ["長い", "9"]], numbers=(1,))
        == "A      N\nx     10\n長い   9"
    )


def test_f66_an_event_of_tap_goes_on_below_where_it_does_not_fit():
    head = "14:05:00  instance     ct-1 → archive, cloud  routed"
    rest = [f"fact_{n}=value" for n in range(6)]
    lines = wrapped(head, rest, 80)
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == " ".join([*head.split(), *rest])
    assert all(one.startswith(" " * 10) for one in lines[1:]) and len(lines) > 1
    assert wrapped(head, rest, 400) == [f"{head}  {'  '.join(rest)}"]
    assert wrapped(head, ["reason=" + "x" * 90], 80)[1].strip() == "reason=" + "x" * 90
