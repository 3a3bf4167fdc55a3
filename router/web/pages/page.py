"""What a page is: what it shows, and what can be done on it.

A view and an action are plain functions; they run in a thread and call the API's own functions. An
action ends in a notice above the page it was taken on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from router.web.api.call import Call
from router.web.pages.form import Form
from router.web.services import Services

Kind = Literal["good", "bad", "info"]
View = Callable[[Services, Call, Form], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of an action: a text of the catalogue with its values, and details as they are."""

    kind: Kind
    key: str
    values: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    problems: tuple[Mapping[str, Any], ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done, by whom, and the key of its button's text."""

    scope: str
    act: Callable[[Services, Call, Form], Notice]


@dataclass(frozen=True, slots=True)
class Page:
    """A path, the template it is shown with, and the actions by the name of their button.

    `within`: it shows who is limited to organizations what is theirs; others refuse them.
    """

    path: str
    template: str
    view: View
    section: str
    actions: Mapping[str, Action] = field(default_factory=dict)
    scope: str = "read"
    within: bool = False
