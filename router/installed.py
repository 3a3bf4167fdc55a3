"""Files that come with the product: the default rules and the schema, from a wheel or a checkout."""

from __future__ import annotations

import json
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# Editors with yaml-language-server find the schema by the first line of a file; a new file by this.
_EDITOR = {
    "yaml.schemas": {"./dicom-router.schema.json": ["*.yaml", "!*.test.yaml"]},
    "yaml.customTags": [],
    "[yaml]": {"editor.tabSize": 2, "editor.insertSpaces": True},
}
MODELINE = "# yaml-language-server: $schema="


def folder(name: str) -> Path:
    """The shipped folder of that name (`rules`, `schemas`)."""
    installed = _PACKAGE / "installed_files" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def example_files() -> dict[str, str]:
    """What `init` writes: relative name → text. The schema lies beside, so editors work offline."""
    files = {
        str(path.relative_to(folder("rules"))): _with_local_schema(path.read_text(encoding="utf-8"))
        for path in sorted(folder("rules").rglob("*.yaml"))
    }
    schema = folder("schemas") / "dicom-router.schema.json"
    files[schema.name] = schema.read_text(encoding="utf-8")
    files[".vscode/settings.json"] = json.dumps(_EDITOR, indent=2) + "\n"
    files[".editorconfig"] = "[*.yaml]\nindent_style = space\nindent_size = 2\n"
    return files


def _with_local_schema(text: str) -> str:
    """The schema and the data directory of a folder that stands by itself."""
    lines = text.replace("data_dir: ../data", "data_dir: data").splitlines(keepends=True)
    if lines and lines[0].startswith(MODELINE):
        lines[0] = f"{MODELINE}./dicom-router.schema.json\n"
    return "".join(lines)
