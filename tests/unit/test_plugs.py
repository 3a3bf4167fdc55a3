"""Every plug's example compiles, a wrong one is refused, its summary is a sentence; names are unique."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import jsonschema
import pytest
import yaml

from router import plugs
from router.dicom.tags import parse_path
from router.model.path import Path
from router.model.plug import Morph, Operator, PlugError, StationKind
from router.plugs import PlugConflict, morphs, operators, station_kinds

ATTRIBUTE: dict[str, Path | None] = {
    name: parse_path("SeriesNumber") for name in ("between", "ge", "gt", "le", "lt")
}


def examples(plug: Operator | Morph) -> Any:
    """The parameters in a plug's example, loaded as the configuration does: scalars are text."""
    loaded = yaml.load(plug.example, Loader=yaml.BaseLoader)
    assert list(loaded) == [plug.name]
    return loaded[plug.name]


def names(found: tuple[Any, ...]) -> list[str]:
    return [plug.name for plug in found]


def test_the_words_of_the_language_are_there() -> None:
    expected = "all any between empty equals exists ge glob gt le lt regex"
    assert names(operators()) == expected.split(" ")
    assert set("blank copy default map prefix remove replace set suffix".split(" ")) <= set(
        names(morphs())
    )
    assert names(station_kinds()) == ["dicom", "dicomweb", "folder"]


@pytest.mark.parametrize("plug", [*operators(), *morphs(), *station_kinds()], ids=lambda p: p.name)
def test_a_summary_is_one_sentence_and_a_schema_is_a_schema(
    plug: Operator | Morph | StationKind,
) -> None:
    assert plug.summary[0].isupper()
    assert plug.summary.endswith(".")
    assert "\n" not in plug.summary
    jsonschema.Draft7Validator.check_schema(dict(plug.schema))


@pytest.mark.parametrize("plug", operators(), ids=lambda plug: plug.name)
def test_the_example_of_an_operator_compiles(plug: Operator) -> None:
    parameters = examples(plug)
    jsonschema.Draft7Validator(dict(plug.schema)).validate(parameters)
    jsonschema.Draft7Validator(dict(plug.schema)).validate(yaml.safe_load(plug.example)[plug.name])
    test = plug.compile(parameters, ATTRIBUTE.get(plug.name, parse_path("ImageType")))
    assert test(None) is (plug.name == "exists")
    assert isinstance(test(("ORIGINAL",)), bool)
    assert plug.schema["description"]


@pytest.mark.parametrize("plug", operators(), ids=lambda plug: plug.name)
@pytest.mark.parametrize("wrong", [None, {"x": "y"}, [["x"]]], ids=str)
def test_a_wrong_parameter_of_an_operator_is_refused(plug: Operator, wrong: Any) -> None:
    with pytest.raises(PlugError):
        plug.compile(wrong, parse_path("SeriesNumber"))


@pytest.mark.parametrize("plug", morphs(), ids=lambda plug: plug.name)
def test_the_example_of_a_morph_compiles(plug: Morph) -> None:
    parameters = examples(plug)
    jsonschema.Draft7Validator(dict(plug.schema)).validate(parameters)
    assert callable(plug.compile(parameters))
    assert plug.writes(parameters)
    assert plug.schema["description"]


@pytest.mark.parametrize("plug", morphs(), ids=lambda plug: plug.name)
@pytest.mark.parametrize("wrong", [None, {}, [], {"NoSuchKeyword": "x"}, ["NoSuchKeyword"], 7])
def test_a_wrong_parameter_of_a_morph_is_refused(plug: Morph, wrong: Any) -> None:
    with pytest.raises(PlugError):
        plug.compile(wrong)


EXTENSION = """
from router.model.plug import Operator

PLUGS = (
    Operator("{name}", "Begins with this.", {{"type": "string"}}, "{name}: x",
             lambda text, _: lambda values: any(v.startswith(text) for v in values or ())),
)
"""


@pytest.fixture
def installed(tmp_path: FilePath) -> Iterator[Any]:
    """Installs a package that brings one plug; gone after the test."""
    sys.path.insert(0, str(tmp_path))
    modules = set(sys.modules)

    def install(source: str, target: str = "extension_of_a_site") -> None:
        (tmp_path / "extension_of_a_site.py").write_text(source)
        described = tmp_path / "extension_of_a_site-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text("Name: extension-of-a-site\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text(f"[{plugs.GROUP}]\nsite = {target}\n")

    yield install
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_an_installed_package_brings_an_operator(installed: Any) -> None:
    installed(EXTENSION.format(name="begins"))
    assert "begins" in names(operators())
    assert names(operators()) == sorted(names(operators()))
    assert "begins" not in names(morphs())


def test_an_entry_point_may_name_the_tuple_itself(installed: Any) -> None:
    installed(EXTENSION.format(name="begins"), "extension_of_a_site:PLUGS")
    assert "begins" in names(operators())


def test_a_name_used_twice_is_refused_and_both_places_are_told(installed: Any) -> None:
    installed(EXTENSION.format(name="glob"))
    with pytest.raises(PlugConflict, match=r"router\.match\.pattern.*extension_of_a_site"):
        operators()


@pytest.mark.parametrize("source", ["", "import no_such_module", "PLUGS = ['x']"])
def test_an_installed_package_without_plugs_is_refused(installed: Any, source: str) -> None:
    installed(source)
    with pytest.raises(PlugConflict):
        operators()
