"""How an image is to be drawn: the query parameters of rendered resources, read (PS3.18 8.3.5.1).

`window`, `viewport`, `quality` and `accept`; what cannot be read is a BadDataset of HTTP 400.
Annotations are not burned in, and a Warning says so; colour profiles are not written.
"""

from __future__ import annotations

import math
from typing import Any, Final

from starlette.requests import Request

from router.errors import BadDataset

DRAWN: Final = ("image/jpeg", "image/png", "image/gif")
THUMBNAIL_SIDE: Final = 128
MAX_SIDE: Final = 8_192
_FUNCTIONS: Final = ("linear", "linear-exact", "sigmoid")


def wish_of(request: Request, *, is_thumbnail: bool) -> dict[str, Any]:
    """What `draw.drawn` is to know besides frame and media type."""
    query = request.query_params
    wish: dict[str, Any] = {}
    if "viewport" in query or is_thumbnail:
        usual = f"{THUMBNAIL_SIDE},{THUMBNAIL_SIDE}"
        wish["viewport"], wish["region"] = _viewport(query.get("viewport", usual))
    if is_thumbnail:
        return wish | {"region": None}
    if "window" in query:
        wish["window"] = _window(query["window"])
    if "quality" in query:
        text = query["quality"]
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
            raise BadDataset("quality must be a whole number from 1 to 100")
        wish["quality"] = int(text)
    return wish


def warnings_of(request: Request) -> dict[str, str]:
    """The header that tells of what is not done."""
    words = request.query_params.get("annotation", "")
    asked = [word for word in words.split(",") if word in ("patient", "technique")]
    if not asked:
        return {}
    text = f"The following annotation values are not supported: {','.join(asked)}"
    return {"warning": f'299 dicom-router "{text}"'}


def _window(text: str) -> tuple[float, float, str]:
    parts = text.split(",")
    function = parts[2].strip().lower() if len(parts) == 3 else "linear"
    if len(parts) not in (2, 3) or function not in _FUNCTIONS:
        raise BadDataset(f"window is centre,width,function: one of {', '.join(_FUNCTIONS)}")
    centre, width = map(_number, parts[:2])
    # PS3.3 C.11.2.1.2: a linear window is at least 1 wide, the others are wider than 0.
    if width <= 0.0 or (function == "linear" and width < 1.0):
        raise BadDataset("a window is at least 1 wide")
    return centre, width, function


def _viewport(text: str) -> tuple[tuple[int, int], tuple[float, ...] | None]:
    parts = text.split(",")
    if len(parts) not in (2, 6):
        raise BadDataset("viewport is width,height or width,height,left,top,width,height")
    width, height = _number(parts[0]), _number(parts[1])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise BadDataset(f"a viewport has 1 to {MAX_SIDE} pixels a side")
    region = tuple(_number(part) if part.strip() else 0.0 for part in parts[2:])
    return (int(width), int(height)), region or None


def _number(text: str) -> float:
    try:
        number = float(text) if len(text) <= 32 else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadDataset("a number was expected in window or viewport")
    return number
