"""Where every problem of one run is gathered.

A report never stops at the first problem. It keeps one problem per place and code, shows at most 50,
errors before warnings when it must choose, and ends with one line that says how many more there are.
"""

from __future__ import annotations

from typing import Final

from router.model.problem import Example, Place, Problem, Severity

MAX_SHOWN: Final = 50
_MAX_KEPT: Final = 5000
_REFERENCES: Final = frozenset({"DR201", "DR202", "DR203", "DR207"})


class Report:
    """The problems found so far.

    `is_incomplete` says that a file could not be read at all: what other files refer to may stand
    in it, so references without a target are no longer reported.
    """

    def __init__(self) -> None:
        self._problems: dict[tuple[str, int, int, str], Problem] = {}
        self._errors = 0
        self._dropped = 0
        self.is_incomplete = False

    def add(self, problem: Problem) -> None:
        """Keep a problem; a second one at the same place with the same code says nothing new."""
        place = problem.place
        if self.is_incomplete and problem.code in _REFERENCES:
            return
        family = problem.code if problem.severity == "warning" else "error"
        key = (place.file, place.line, place.column, family)
        if key in self._problems:
            return
        if len(self._problems) >= _MAX_KEPT:
            self._dropped += 1
            return
        self._problems[key] = problem
        if problem.severity == "error":
            self._errors += 1

    def error(
        self,
        code: str,
        message: str,
        place: Place,
        *,
        path: str = "",
        hint: str = "",
        other: Place | None = None,
    ) -> None:
        """Something that must be mended before anything runs."""
        self.add(Problem("error", code, message, place, path, hint, other))

    def warn(
        self,
        code: str,
        message: str,
        place: Place,
        *,
        path: str = "",
        hint: str = "",
        other: Place | None = None,
        example: Example | None = None,
    ) -> None:
        """Something that loads, and that its author wants to know."""
        self.add(Problem("warning", code, message, place, path, hint, other, example))

    @property
    def has_errors(self) -> bool:
        """Whether anything must be mended."""
        return self._errors > 0

    @property
    def is_full(self) -> bool:
        """Whether more errors than are shown were found: no use in searching for hints any more."""
        return self._errors > MAX_SHOWN

    def problems(self) -> tuple[Problem, ...]:
        """At most 50 in order of place, and one more that counts the rest."""
        found = sorted(self._problems.values(), key=_by_place)
        if len(found) <= MAX_SHOWN:
            return tuple(found)
        chosen = sorted(found, key=lambda problem: problem.severity != "error")[:MAX_SHOWN]
        hidden = len(found) - MAX_SHOWN + self._dropped
        severity: Severity = "error" if self._errors > MAX_SHOWN else "warning"
        shown = set(map(id, chosen))
        first_hidden = next(problem for problem in found if id(problem) not in shown)
        more = Problem(severity, "DR099", f"and {hidden} more problems", first_hidden.place)
        return (*sorted(chosen, key=_by_place), more)


def _by_place(problem: Problem) -> tuple[str, int, int, str]:
    place = problem.place
    return place.file, place.line, place.column, problem.code
