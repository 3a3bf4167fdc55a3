"""A folder: its keys, as a JSON Schema fragment (draft-07)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.model.plug import StationKind
from router.peers.kinds import when_used

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"const": "folder"},
        "path": {
            "type": "string",
            "minLength": 1,
            "description": "The folder the files go to, STUDY/INSTANCE.dcm; it must exist.",
        },
    },
    "required": ["type", "path"],
}

PLUGS = (
    StationKind(
        name="folder",
        summary="A folder that receives each instance as a file.",
        schema=_SCHEMA,
        example="type: folder\npath: /srv/reading-room\nsend: true\n",
        make=when_used("router.peers.folder:FolderPeer"),
    ),
)
