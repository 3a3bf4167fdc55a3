"""Search and retrieval: what a peer may offer besides taking objects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Protocol, runtime_checkable

from router.model.query import Ending, Identifier, MoveProgress, Query, Retrieval


class Search:
    """Iterating gives the answers as they come; afterwards `ending` says how it ended.

    Raises what the station did wrong, as a DeliveryError.
    """

    def __init__(self, answers: Generator[Identifier, None, Ending]) -> None:
        self._answers = answers
        self.ending = Ending(is_truncated=True, words="not read to its end")

    def __iter__(self) -> Generator[Identifier, None, None]:
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


@runtime_checkable
class Retrievable(Protocol):
    """A peer that can be asked to send what it holds."""

    def retrieve(
        self, wanted: Retrieval, wish_to_cancel: Callable[[], bool]
    ) -> Iterator[MoveProgress]:
        """Begin a retrieval; nothing happens before its progress is asked for."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...
