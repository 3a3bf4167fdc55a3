"""Templates to HTML. Everything is escaped; a name that is not there is an error, not a blank."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib import resources
from typing import Any, Final

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from starlette.responses import HTMLResponse

from router.web.pages import charts
from router.web.pages.texts import LANGUAGES, say, word

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


class _Packaged(BaseLoader):
    """Templates beside this module."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Any]:  # noqa: ARG002 - jinja2's signature
        file = resources.files("router.web.pages").joinpath("templates", template)
        try:
            return file.read_text(encoding="utf-8"), template, lambda: True
        except OSError:
            raise TemplateNotFound(template) from None


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=_Packaged(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        bytes=shown_bytes,
        time=shown_time,
        moment=shown_moment,
        person=shown_person,
        count=shown_count,
        span=shown_span,
    )
    made.globals.update(charts=charts, languages=LANGUAGES, marks=fingerprints())
    return made


@lru_cache(maxsize=1)
def fingerprints() -> dict[str, str]:
    """A mark of the content of each static file, so that browsers may keep it for ever."""
    folder = resources.files("router.web.pages").joinpath("static")
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest()[:12] for one in folder.iterdir()}


def render(
    template: str, language: str, context: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """A page. `t` says a text, `w` a word of ours, in the language asked for."""
    words = {"t": partial(say, language), "w": partial(word, language), "language": language}
    text = _environment().get_template(template).render({**words, **context})
    return HTMLResponse(text, status)


def shown_bytes(count: float | None) -> str:
    """`1.2 GB`; '–' for None."""
    if count is None:
        return "–"
    value = float(count)
    unit = 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return (
        f"{value:.0f} {_UNITS[unit]}" if value >= 100 or not unit else f"{value:.1f} {_UNITS[unit]}"
    )


def shown_time(text: str | None) -> str:
    """`2026-11-22T04:58:11Z` as the router's own clock shows it; '–' for None."""
    if not text:
        return "–"
    when = dt.datetime.fromisoformat(text).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}"


def shown_moment(text: str | None) -> str:
    """As short as it stays clear in a table: `04:58:11` of today, else `11-22 04:58`, or the year too."""
    if not text:
        return "–"
    when, now = dt.datetime.fromisoformat(text).astimezone(), dt.datetime.now().astimezone()
    if when.date() == now.date():
        return f"{when:%H:%M:%S}"
    return f"{when:%m-%d %H:%M}" if when.year == now.year else f"{when:%Y-%m-%d}"


def shown_span(begin: str | None, end: str | None) -> str:
    """The time between two, `1:02:03`; '–' where one has not come."""
    if not begin or not end:
        return "–"
    seconds = dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(begin)
    return str(dt.timedelta(seconds=int(seconds.total_seconds())))


def shown_person(name: str) -> str:
    """`Yamada^Tarou=山田^太郎` as people read it: a group in brackets behind the other (PS3.5 6.2.1)."""
    groups = [" ".join(group.replace("^", " ").split()) for group in name.split("=")]
    first, *others = [group for group in groups if group] or [""]
    return f"{first} ({', '.join(others)})" if others else first


def shown_count(number: float) -> str:
    """With thin spaces between thousands, as ISO 80000 has it."""
    return f"{number:,.0f}".replace(",", "\u202f")
