"""Charts and what templates show: figures as people read them, nothing unescaped."""

from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET

import pytest

from router.web.pages import charts
from router.web.pages.render import (
    render,
    shown_bytes,
    shown_count,
    shown_moment,
    shown_person,
    shown_span,
    shown_time,
)

HOSTILE = "<script>\"&'</script>"


def parsed(markup):
    assert "style=" not in markup and "<script" not in markup
    return ET.fromstring(markup)


def test_the_line_follows_the_values():
    chart = parsed(charts.rate_chart([("received", HOSTILE, [0.0, 5.0, 10.0])], HOSTILE))
    (line,) = [one for one in chart if one.tag == "polyline"]
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert "5 /s10 /s" in "".join(chart.itertext())
    assert chart.attrib["aria-label"] == HOSTILE
    parsed(charts.rate_chart([("received", "r", [])], "nothing yet"))


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 0.1), (0.1, 0.1), (0.11, 0.2), (3, 5), (9, 10), (11, 20), (260, 500)]
)
def test_the_axis_ends_at_a_round_number(highest, top):
    assert charts._nice(highest) == pytest.approx(top)


def test_a_strip_shows_the_day_as_it_was():
    now = 1_000_000.0
    changes = [(now - 3600, "online"), (now - 7200, "offline"), (now - 50 * 3600, "online")]
    strip = parsed(charts.heartbeat_strip(changes, "online", now, "day"))
    parts = [
        (one.attrib["class"], float(one.attrib["width"])) for one in strip if one.tag == "rect"
    ]
    assert [kind for kind, _ in parts] == ["online", "offline", "online"]
    assert [width for _, width in parts] == pytest.approx([40, 40, 880])
    assert sum(width for _, width in parts) == pytest.approx(960)


def test_what_was_before_the_first_look_is_unknown():
    now = 1_000_000.0
    strip = parsed(charts.heartbeat_strip([(now - 6 * 3600, "online")], "online", now, "day"))
    kinds = [one.attrib["class"] for one in strip if one.tag == "rect"]
    assert kinds == ["online", "unknown"]
    never = parsed(charts.heartbeat_strip([], "unknown", now, "day"))
    assert [one.attrib["class"] for one in never if one.tag == "rect"] == ["unknown"]


@pytest.mark.parametrize(("share", "width"), [(0.5, "100.0"), (-1, "0.0"), (7, "200.0")])
def test_a_bar_stays_within_its_track(share, width):
    bar = parsed(charts.meter(share, HOSTILE, HOSTILE))
    assert bar[1].attrib["width"] == width


@pytest.mark.parametrize(
    ("share", "failed", "widths"),
    [
        (0.5, 0.25, [150.0, 100.0]), (0.0, 1.0, [200.0, 0.0]), (1.0, 0.0, [200.0]),
        (0.9, 0.9, [200.0, 180.0]),
    ],
)  # fmt: skip
def test_what_failed_is_seen_behind_what_is_done(share, failed, widths):
    track, *fills = list(parsed(charts.meter(share, "done", "good", failed)))
    assert track.attrib["class"] == "track"
    assert [float(one.attrib["width"]) for one in fills] == widths
    assert [one.attrib["class"] for one in fills][-1] == "fill good"
    assert [one.attrib["class"] for one in fills][:-1] == ["fill bad"] * (len(widths) - 1)


def test_a_moment_is_as_short_as_it_stays_clear():
    now = dt.datetime.now().astimezone().replace(hour=12, minute=34, second=56, microsecond=0)
    assert shown_moment(now.isoformat()) == "12:34:56"
    day = dt.timedelta(days=1)
    before = now - day if (now - day).year == now.year else now + day
    assert shown_moment(before.isoformat()) == f"{before:%m-%d} 12:34"
    assert shown_moment("2019-03-07T12:34:56Z") == "2019-03-07"
    assert shown_moment(None) == shown_moment("") == "–"


def test_the_map_has_a_line_for_each_delivery():
    def rule(name, *stations, enabled=True, morph=()):
        route = [{"station": one, "morph": list(morph)} for one in stations]
        return {"name": name, "enabled": enabled, "route": route}

    rules = [
        rule(HOSTILE, "pacs", "cloud"),
        rule("b" * 99, "pacs", morph=[1]),
        rule("off", "x", enabled=False),
    ]
    drawn = parsed(charts.rule_map(rules, "map"))
    assert [one.attrib["class"] for one in drawn if one.tag == "path"] == [
        "edge",
        "edge",
        "edge morphed",
    ]
    groups = [one.attrib["class"] for one in drawn if one.tag == "g"]
    assert groups == ["rule", "rule", "station", "station"]
    assert "off" not in "".join(drawn.itertext())
    parsed(charts.rule_map([], "map"))


def test_figures_as_people_read_them():
    assert [shown_bytes(n) for n in (None, 0, 999, 1000, 123_456, 5_400_000_000)] == [
        "–", "0 B", "999 B", "1.0 kB", "123 kB", "5.4 GB",
    ]  # fmt: skip
    assert shown_count(1_234_567) == "1\u202f234\u202f567"
    assert (shown_time(None), shown_span(None, "x"), shown_span("x", None)) == ("–", "–", "–")
    assert shown_span("2026-11-22T04:58:11Z", "2026-11-22T06:00:13Z") == "1:02:02"
    assert shown_time("2026-11-22T04:58:11Z")[4:5] == "-"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("SILVA^ANA", "SILVA ANA"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada Tarou (山田 太郎, やまだ たろう)"),
        ("=山田^太郎", "山田 太郎"),
        ("^^^", ""),
        ("Doe^^^Dr.^", "Doe Dr."),
    ],
)
def test_names_as_people_read_them(name, shown):
    assert shown_person(name) == shown


def test_what_comes_from_outside_is_escaped():
    page = render("login.html", "en", {"next": "/", "problem": "", "router": HOSTILE})
    text = bytes(page.body).decode()
    assert HOSTILE not in text and "&lt;script&gt;" in text
