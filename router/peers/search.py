"""Search: the answers of a station that can be searched, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Protocol, runtime_checkable

from router.model.query import Ending, Identifier, Query


class Search:
    """Iterating gives the answers as they come; afterwards `ending` says how it ended.

    Raises what the station did wrong, as a DeliveryError.
    """

    def __init__(self, answers: Generator[Identifier, None, Ending]) -> None:
        self._answers = answers
        self.ending = Ending(is_truncated=True, words="not read to its end")

    def __iter__(self) -> Iterator[Identifier]:
        self.ending = yield from self._answers


@runtime_checkable
class Searchable(Protocol):
    """A peer that can be searched."""

    def find(self, query: Query, wish_to_cancel: Callable[[], bool]) -> Search:
        """Begin a search; nothing happens before its answers are asked for."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...
