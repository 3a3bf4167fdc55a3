"""Configuration folders for tests: written, loaded with every plug, and its example from the design."""

from __future__ import annotations

from pathlib import Path

from router.analysis.advise import advisor
from router.config.load import Loaded, load
from router.plugs import all_plugs

BASE = "version: 1\nrouter: {name: edge, ae_title: EDGE, data_dir: data}\n"
PACS = "stations:\n  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}\n"


def checked(folder: Path) -> Loaded:
    """The folder as `check` sees it: compiled and analysed, in an empty environment."""
    return load(folder, all_plugs(), environment={}, advise=advisor(all_plugs()))


def write(folder: Path, **files: str) -> Path:
    """A folder with `name.yaml` files of these texts; `__` in a name is a `/`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def loaded(folder: Path, text: str = "", *, base: str = BASE, **environment: str) -> Loaded:
    """Load the folder, with these texts in it if given, in this environment and no other."""
    if text:
        write(folder, base=base, site=text)
    return load(folder, all_plugs(), environment=environment)
