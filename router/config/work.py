"""Work: how much one configuration may ask of the compiler. Counted, not timed.

What costs more than it shows is weighed before it is done: nodes, patterns by the size of their
programs, templates by their length, steps and tables wherever a name or an alias repeats them, and
mistakes beyond those that are shown. One unit is about a microsecond on a machine of 2025. The same
texts pass or are refused on every machine: a slow one takes longer over them.
"""

from __future__ import annotations

from typing import Final

from router.model.problem import Place, Problem

MAX_WORK: Final = 1_000_000
NODE: Final = 5
STEP: Final = 15
TABLE_ENTRY: Final = 5
TEMPLATE_CHARACTER: Final = 12
MISTAKE: Final = 20_000


class TooMuchWork(Exception):
    """The configuration is refused as a whole; `problem` says where it became too much."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Work:
    """What one compilation has done so far."""

    def __init__(self) -> None:
        self.done = 0

    def spend(self, units: int, place: Place) -> None:
        """Count this much more. Raises TooMuchWork when it is too much."""
        self.done += units
        if self.done > MAX_WORK:
            message = "up to here the configuration asks for more work than a router takes on"
            hint = "patterns, templates, tables or lists that are large or repeated; or too many mistakes"
            raise TooMuchWork(Problem("error", "DR004", message, place, hint=hint))


def templates(parameters: object) -> int:
    """The work of the templates in parameters of a step."""
    waiting, units = [parameters], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            units += len(value) * TEMPLATE_CHARACTER if "{" in value else 0
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return units
