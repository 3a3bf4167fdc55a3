"""The log: one line per event, JSON or plain, to the stream it is given.

Fields are UIDs, names from the configuration, counts and reasons. A processor drops every field
whose name says it holds a patient attribute or a secret, so that a careless call cannot leak; text
from peers is escaped, so that a hostile AE title cannot forge a line. What passes is told to whoever
taps the process too, and written nowhere.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from router.telemetry.tap import Tap

FORBIDDEN_FIELDS = frozenset(
    {
        "accession_number",
        "authorization",
        "client_secret",
        "patient_birth_date",
        "patient_id",
        "patient_name",
        "password",
        "token",
    }
)
MAX_TEXT = 500

Fields = MutableMapping[str, Any]


def _without_patient_data(_logger: Any, _method: str, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in FORBIDDEN_FIELDS}


def _bounded(_logger: Any, _method: str, fields: Fields) -> Fields:
    return {
        name: value[:MAX_TEXT] + "…" if isinstance(value, str) and len(value) > MAX_TEXT else value
        for name, value in fields.items()
    }


def _plain(_logger: Any, _method: str, fields: Fields) -> str:
    when = fields.pop("timestamp", "")
    level = fields.pop("level", "info")
    event = fields.pop("event", "")
    rest = " ".join(f"{name}={escaped(value)}" for name, value in fields.items())
    return f"{when} {level:<7} {event}  {rest}".rstrip()


def escaped(value: Any) -> str:
    """The value as a word, or quoted with nothing in it that could forge a line."""
    text = str(value)
    if text.isprintable() and " " not in text and '"' not in text:
        return text
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


class Log:
    """A bound logger. `event` is a short sentence in lower case; the facts are fields."""

    def __init__(self, logger: Any, tap: Tap | None = None) -> None:
        self._logger = logger
        self._tap = tap

    def bind(self, **fields: Any) -> Log:
        """The same log with these fields on every line."""
        return Log(self._logger.bind(**fields), self._tap)

    def tapped(self, tap: Tap) -> Log:
        """The same log, told to whoever listens there too."""
        return Log(self._logger, tap)

    @property
    def is_tapped(self) -> bool:
        """Whether somebody looks at what passes now."""
        return self._tap is not None and self._tap.is_heard

    def passed(self, what: str, facts: Fields, identifying: Fields) -> None:
        """Tell whoever taps of an instance or a delivery; nobody else ever hears of it."""
        if self._tap is not None:
            self._tap.tell(what, facts, identifying)

    def info(self, event: str, **fields: Any) -> None:
        """Something worth knowing happened."""
        self._logger.info(event, **fields)
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something needs attention soon."""
        self._logger.warning(event, **fields)
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something needs a person now."""
        self._logger.error(event, **fields)
        self._tell("error", event, fields)

    def _tell(self, level: str, event: str, fields: Fields) -> None:
        if self._tap is None or not self._tap.is_heard:
            return
        shown = _bounded(None, level, _without_patient_data(None, level, fields))
        uids = {name: value for name, value in shown.items() if name.endswith("_uid")}
        facts = {name: value for name, value in shown.items() if name not in uids}
        self._tap.tell(event, {"level": level, **facts}, uids)

    def bug(self, event: str, error: BaseException) -> None:
        """A failure of our own: where it happened, without the values (they may be a patient's)."""
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames[-8:]))
        self._logger.error(event, error=type(error).__name__, where=where)


def open_log(stream: TextIO, form: Literal["json", "text"], fields: Mapping[str, Any]) -> Log:
    """A log that writes to the stream; `fields` are on every line."""
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else _plain
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_patient_data,
            _bounded,
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return Log(logger.bind(**fields))
