"""The stylesheet: readable in light and dark (WCAG 2.2, 1.4.3), nothing fetched from elsewhere."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STATIC = resources.files("router.web.pages").joinpath("static")
CSS = STATIC.joinpath("style.css").read_text(encoding="utf-8")
AA = 4.5


def _colours(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))


LIGHT = _colours(CSS[: CSS.index("@media (prefers-color-scheme: dark)")])
DARK = _colours(CSS[CSS.index("@media (prefers-color-scheme: dark)") :][:1500])


def _luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *(
            (text, ground)
            for text in ("text", "muted", "accent")
            for ground in ("ground", "surface", "raised")
        ),
        *((word, f"{word}-tint") for word in ("good", "warn", "bad", "idle")),
        *((word, "surface") for word in ("good", "warn", "bad")),
        ("accent", "tint"),
        ("accent-text", "accent"),
        ("text", "idle-tint"),
    ],
)
def test_words_stand_out_from_their_ground(theme, text, ground):
    assert _contrast(theme[text], theme[ground]) >= AA, (text, ground)


def test_both_themes_have_the_same_colours():
    assert set(DARK) == set(LIGHT) and len(LIGHT) > 18


def test_nothing_is_fetched_from_elsewhere():
    for one in STATIC.iterdir():
        text = one.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(|eval\(|innerHTML *=[^=]", text), one.name


def test_what_moves_holds_still_for_those_who_ask():
    before, _, after = CSS.partition("@media (prefers-reduced-motion: no-preference)")
    assert "transition" in after and "transition" not in before and "animation" not in CSS
