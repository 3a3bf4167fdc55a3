"""Search and retrieval: what a peer may offer besides taking objects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from router.dicom.part10 import Part10Stream
from router.model.query import Ending, Identifier, MoveProgress, ObjectName, Query, Retrieval


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
class Fetchable(Protocol):
    """A peer whose objects can be fetched one by one; any number of threads may."""

    def listed(self, query: Query, wish_to_cancel: Callable[[], bool]) -> tuple[ObjectName, ...]:
        """The objects that a query of any level names. Raises a DeliveryError."""
        ...

    def fetch(self, name: ObjectName, seconds: float) -> AbstractContextManager[Part10Stream]:
        """One object as it comes; raises a DeliveryError, also in the block."""
        ...

    def close(self) -> None:
        """Let go of its connections."""
        ...


@runtime_checkable
class Archive(Searchable, Fetchable, Protocol):
    """A peer that others can search and retrieve from through us."""


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
