"""The log: one line per event, JSON or plain, to the stream it is given.

Fields are UIDs, names from the configuration, counts and reasons. A processor drops every field
whose name says it holds a patient attribute or a secret, so that a careless call cannot leak; text
from peers is escaped, so that a hostile AE title cannot forge a line.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

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
    rest = " ".join(f"{name}={_escaped(value)}" for name, value in fields.items())
    return f"{when} {level:<7} {event}  {rest}".rstrip()


def _escaped(value: Any) -> str:
    text = str(value)
    if text.isprintable() and " " not in text and '"' not in text:
        return text
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


class Log:
    """A bound logger. `event` is a short sentence in lower case; the facts are fields."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def bind(self, **fields: Any) -> Log:
        """The same log with these fields on every line."""
        return Log(self._logger.bind(**fields))

    def info(self, event: str, **fields: Any) -> None:
        """Something worth knowing happened."""
        self._logger.info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something needs attention soon."""
        self._logger.warning(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something needs a person now."""
        self._logger.error(event, **fields)

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
