"""Building blocks of the schema: the value types that come back everywhere.

`title` is the noun phrase of messages ("must be a duration"), `description` the hover text,
`examples` what hints offer, `format` selects a closer look at a wrong value. Patterns are ECMA-262
and Python alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from router.config.units import DURATION_PATTERN, HOURS_PATTERN, RATE_PATTERN, SIZE_PATTERN

Fragment = dict[str, Any]

AE_TITLE_PATTERN: Final = r"^ *[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])? *$"
BIND_PATTERN: Final = r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s/]+):[0-9]{1,5}$"
URL_PATTERN: Final = r"^https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:[0-9]{1,5})?(/[^\s?#]*)?$"
PATH_PATTERN: Final = r"^[^\x00-\x1F\x7F]+$"


def text(description: str, *, title: str = "a text", **more: Any) -> Fragment:
    """A text of at least one character, in quotes when it looks like something else."""
    return {
        "type": "string",
        "title": title,
        "description": description,
        "minLength": 1,
        "maxLength": 1024,
        **more,
    }


def choice(description: str, options: tuple[str, ...], **more: Any) -> Fragment:
    """One of a few words."""
    return {"type": "string", "description": description, "enum": list(options), **more}


def switch(description: str, *, default: bool = False) -> Fragment:
    """True or false."""
    return {
        "type": "boolean",
        "title": "true or false",
        "description": description,
        "default": default,
    }


def whole(description: str, low: int, high: int, **more: Any) -> Fragment:
    """A whole number between two bounds."""
    return {
        "type": "integer",
        "title": f"a whole number from {low} to {high}",
        "description": description,
        "minimum": low,
        "maximum": high,
        **more,
    }


def duration(description: str, **more: Any) -> Fragment:
    """A number and one of ms, s, m, h, d."""
    return text(
        description,
        title="a duration with its unit",
        pattern=DURATION_PATTERN,
        format="duration-with-unit",
        examples=["30s", "10m", "7d"],
        **more,
    )


def size(description: str, **more: Any) -> Fragment:
    """A number and one of B, KB, MB, GB, TB, or KiB and so on."""
    return text(
        description,
        title="a size with its unit",
        pattern=SIZE_PATTERN,
        format="size-with-unit",
        examples=["64MB", "500GB"],
        **more,
    )


def rate(description: str, **more: Any) -> Fragment:
    """Bytes or bits a second."""
    return text(
        description,
        title="a rate with its unit",
        pattern=RATE_PATTERN,
        format="rate-with-unit",
        examples=["20MB/s", "100Mbit/s"],
        **more,
    )


def hours(description: str) -> Fragment:
    """A stretch of the local day."""
    return text(
        description,
        title="a stretch of hours",
        pattern=HOURS_PATTERN,
        examples=["19:00-07:00"],
    )


def path(description: str, **more: Any) -> Fragment:
    """A file or folder; relative ones start at the configuration folder."""
    return text(description, title="a path", pattern=PATH_PATTERN, **more)


def ae_title(description: str) -> Fragment:
    """An AE title (PS3.5 6.2, VR AE)."""
    return text(
        description,
        title="an AE title (1 to 16 characters, no backslash)",
        pattern=AE_TITLE_PATTERN,
        format="ae-title",
        examples=["EDGE_A"],
    )


def url(description: str) -> Fragment:
    """A base URL without user, query or fragment."""
    return text(
        description,
        title="a URL that begins with https://",
        pattern=URL_PATTERN,
        format="base-url",
        examples=["https://dicom.cloud.example/v2"],
    )


def secret(description: str) -> Fragment:
    """A reference to a secret, never the secret."""
    return {
        "type": "object",
        "title": "{file: NAME} or {env: NAME}",
        "description": f"{description} Written {{file: NAME}} or {{env: NAME}}, never in clear.",
        "format": "secret",
        "properties": {
            "file": path(
                "A file that holds the secret, relative to the configuration folder.",
                examples=["cloud-secret"],
            ),
            "env": text(
                "An environment variable that holds the secret.", examples=["CLOUD_SECRET"]
            ),
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "examples": [{"file": "cloud-secret"}, {"env": "CLOUD_SECRET"}],
    }


def mapping(
    description: str, properties: dict[str, Fragment], required: tuple[str, ...] = (), **more: Any
) -> Fragment:
    """A mapping that takes these keys and no other."""
    return {
        "type": "object",
        "title": "a mapping",
        "description": description,
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def typed(description: str, kinds: Iterable[str], words: str) -> Fragment:
    """A mapping whose `type` says what else is in it."""
    return {
        "type": "object",
        "title": "a mapping",
        "description": description,
        "properties": {"type": choice(words, tuple(kinds))},
        "required": ["type"],
    }


def one_or_list(item: Fragment, description: str) -> Fragment:
    """One text, or a list of them."""
    return {
        "type": ["string", "array"],
        "title": f"{item.get('title', 'a text')} or a list of them",
        "description": description,
        "minLength": 1,
        "minItems": 1,
        "items": item,
        **({"examples": [[each] for each in item["examples"]]} if "examples" in item else {}),
        **({"pattern": item["pattern"]} if "pattern" in item else {}),
        **({"format": item["format"]} if "format" in item else {}),
    }
