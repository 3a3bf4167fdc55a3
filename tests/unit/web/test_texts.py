"""The catalogue of texts: whole in both languages, and what the templates ask for is in it."""

from __future__ import annotations

import re
from importlib import resources
from string import Formatter

import pytest

from router.model.task import TaskStatus
from router.web.api.tasks import STATUSES
from router.web.pages.routes import PAGES
from router.web.pages.texts import LANGUAGES, catalogue, chosen, say, word

FOLDER = resources.files("router.web.pages")


def _fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_text_is_there_in_every_language_with_the_same_places():
    assert set(LANGUAGES) == {"en", "pt-BR"}
    for key, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() == text and text for text in texts.values()), key
        assert len({frozenset(_fields(text)) for text in texts.values()}) == 1, key
    same = [key for key, texts in catalogue().items() if len(set(texts.values())) == 1]
    assert len(same) < 20, f"not translated: {same}"


def _asked():
    templates = [
        one for one in FOLDER.joinpath("templates").iterdir() if one.name.endswith(".html")
    ]
    sources = [FOLDER.joinpath(name) for name in ("actions.py", "routes.py")]
    assert len(templates) > 14
    for one in templates:
        for key in re.findall(r'\bt\("([a-z_.]+)"(?!\s*~)', one.read_text(encoding="utf-8")):
            yield one.name, key
    for one in sources:
        for key in re.findall(
            r'"((?:notice|message)\.(?!html)[a-z_]+)"', one.read_text(encoding="utf-8")
        ):
            yield one.name, key


def test_what_is_asked_for_is_there():
    missing = {(name, key) for name, key in _asked() if key not in catalogue()}
    assert missing == set()


def test_nothing_is_in_the_catalogue_that_nobody_asks_for():
    asked = {key for _, key in _asked()}
    kinds = {"delivery", "station", "task", "priority", "kind", "outcome", "change", "reload",
             "role", "event", "direction", "prior", "reason", "scope", "auditevent", "auditoutcome", "problem", "sync", "nav", "login", "account", "notice", "key"}  # fmt: skip
    unused = [key for key in catalogue() if key not in asked and key.split(".")[0] not in kinds]
    assert unused == []


def test_every_word_of_ours_has_a_text():
    for status in STATUSES:
        assert f"task.{status}" in catalogue()
    assert STATUSES == TaskStatus.__args__
    for state in ("online", "offline", "unknown", "inactive"):
        assert f"station.{state}" in catalogue()
    for state in ("applied", "unchanged", "pending", "written", "refused", "patch"):
        assert f"notice.{state}" in catalogue()
    for page in PAGES:
        assert f"nav.{page.section}" in catalogue()
    assert word("pt-BR", "task", "Failed") == "Falhou"
    assert word("en", "event", "something new") == "something new"


def test_a_text_is_filled_in():
    assert say("en", "tasks.choose", number=7) == "Choose task 7"
    with pytest.raises(KeyError):
        say("en", "no.such.text")


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"),
        ("", "pt", "pt-BR"),
        ("", "de-DE, en-GB;q=0.5, pt;q=0.4", "en"),
        ("", "en;q=0.1, pt;q=0.9", "pt-BR"),
        ("", "de, fr", "en"),
        ("", ";q=x, pt-PT", "pt-BR"),
        ("pt-BR", "en", "pt-BR"),
        ("xx", "en", "en"),
        ("", "," * 10_000, "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(cookie, accepted, language):
    assert chosen(cookie, accepted) == language
