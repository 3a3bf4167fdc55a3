"""Is there a text that fits all of these patterns and none of those? Exactly, within a bound.

Each pattern becomes an automaton without counters; all of them are walked together, breadth first,
over one character of each kind they tell apart. So the text found is a shortest one, and when the
walk ends without one there is none. More than MAX_STATES states end in "unknown".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

from router.analysis.expressions import BEGIN, END, LAST, Ranges, Tree

MAX_STATES: Final = 3000
_MAX_SIZE: Final = 2000
_NICE: Final = {
    character: place
    for place, character in enumerate(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz_"
    )
}

Found = str | Literal[False] | None
_States = frozenset[int]
_NOWHERE: Final[_States] = frozenset()


class _TooLargeError(ValueError):
    """The pattern has more states than are worth walking."""


class _Automaton:
    """States with silent moves and moves on a range of characters; 0 begins, `accept` ends."""

    def __init__(self, tree: Tree) -> None:
        self.moves: list[list[tuple[int, int, int]]] = []
        self.silent: list[list[int]] = []
        self.sets: set[Ranges] = set()
        self._behind: dict[int, _States] = {}
        self._steps: dict[tuple[_States, int], _States] = {}
        self.walked = 0
        self._new()
        self.accept = self._add(tree, 0)

    def _new(self) -> int:
        if len(self.moves) > _MAX_SIZE:
            raise _TooLargeError
        self.moves.append([])
        self.silent.append([])
        return len(self.moves) - 1

    def _add(self, tree: Tree, start: int) -> int:
        """The state behind the tree, when it begins at `start`."""
        kind = tree[0]
        if kind == "set":
            end = self._new()
            self.moves[start].extend((low, high, end) for low, high in tree[1])
            self.sets.add(tree[1])
            return end
        if kind == "seq":
            for part in tree[1:]:
                start = self._add(part, start)
            return start
        if kind == "alt":
            end = self._new()
            for option in tree[1:]:
                first = self._new()
                self.silent[start].append(first)
                self.silent[self._add(option, first)].append(end)
            return end
        _, part, least, most = tree
        for _ in range(least):
            start = self._add(part, start)
        if most is None:
            loop, end = self._new(), self._new()
            self.silent[start].append(loop)
            self.silent[self._add(part, loop)].append(loop)
            self.silent[loop].append(end)
            return end
        end = self._new()
        for _ in range(most - least):
            self.silent[start].append(end)
            start = self._add(part, start)
        self.silent[start].append(end)
        return end

    def closed(self, state: int) -> _States:
        """The state, and those that silent moves lead to."""
        known = self._behind.get(state)
        if known is None:
            seen = {state}
            waiting = [state]
            while waiting:
                for after in self.silent[waiting.pop()]:
                    if after not in seen:
                        seen.add(after)
                        waiting.append(after)
            known = self._behind[state] = frozenset(seen)
        return known

    def step(self, states: _States, point: int) -> _States:
        """Where one character leads."""
        known = self._steps.get((states, point))
        if known is None:
            self.walked += 1
            known = self._steps[states, point] = self._step(states, point)
        return known

    def _step(self, states: _States, point: int) -> _States:
        moves = self.moves
        targets = {
            target for state in states for low, high, target in moves[state] if low <= point <= high
        }
        return _NOWHERE.union(*map(self.closed, targets))


class Walker:
    """Walks automata, each built once. `steps` measures the work."""

    def __init__(self) -> None:
        self._automata: dict[Tree, _Automaton] = {}
        self.steps = 0

    def find(
        self, fits: Sequence[Tree], avoids: Sequence[Tree], *, has_controls: bool = False
    ) -> Found:
        """A shortest text of one character or more, False if there is none, None if unknown.

        Control characters are used where the VR has them (LT, ST, UT: `has_controls`).
        """
        try:
            machines = [self._automaton(tree) for tree in (*fits, *avoids)]
        except _TooLargeError:
            return None
        before = sum(machine.walked for machine in machines)
        found, seen = _walk(machines, len(fits), 0 if has_controls else 32)
        self.steps += seen + sum(machine.walked for machine in machines) - before
        return found

    def _automaton(self, tree: Tree) -> _Automaton:
        if tree not in self._automata:
            self._automata[tree] = _Automaton(tree)
            self.steps += len(self._automata[tree].moves) // 4
        return self._automata[tree]


def _walk(machines: Sequence[_Automaton], fits: int, lowest: int) -> tuple[Found, int]:
    """The text that the first `fits` machines take and the rest refuse, and the states seen."""
    alphabet = _alphabet(machines, lowest)

    def step(states: tuple[_States, ...], point: int) -> tuple[_States, ...] | None:
        """Where all of them are then; None once the text can fit no more."""
        after: list[_States] = []
        for machine, here in zip(machines, states, strict=True):
            there = machine.step(here, point)
            if not there and len(after) < fits:
                return None
            after.append(there)
        return tuple(after)

    def is_found(states: tuple[_States, ...]) -> bool:
        ends = step(states, END)
        if ends is None:
            return False
        accepted = [machine.accept in end for machine, end in zip(machines, ends, strict=True)]
        return all(accepted[:fits]) and not any(accepted[fits:])

    first = step(tuple(machine.closed(0) for machine in machines), BEGIN)
    if first is None:
        return False, 0
    seen = {(first, False)}
    waiting: deque[tuple[tuple[_States, ...], str]] = deque([(first, "")])
    while waiting:
        states, text = waiting.popleft()
        if text and is_found(states):
            return text, len(seen)
        for point in alphabet:
            after = step(states, point)
            if after is None or (after, True) in seen:
                continue
            if len(seen) > MAX_STATES:
                return None, len(seen)
            seen.add((after, True))
            waiting.append((after, text + chr(point)))
    return False, len(seen)


def _alphabet(machines: Sequence[_Automaton], lowest: int) -> list[int]:
    """One character of each kind that some machine tells apart, letters first."""
    sets = {ranges for machine in machines for ranges in machine.sets}
    edges = {0, 32, 33, 48, 58, 65, 91, 92, 93, 97, 123, 127, 160, LAST + 1}
    for ranges in sets:
        for low, high in ranges:
            edges.update((min(low, LAST + 1), min(high + 1, LAST + 1)))
    ordered = sorted(edges)
    places = {low: place for place, low in enumerate(ordered)}
    kinds = [0] * len(ordered)
    for number, ranges in enumerate(sets):
        for low, high in ranges:
            end = places[min(high + 1, LAST + 1)]
            for place in range(places[min(low, LAST + 1)], end):
                kinds[place] |= 1 << number
    chosen: dict[int, int] = {}
    for low, kind in zip(ordered[:-1], kinds[:-1], strict=True):
        if low < lowest or 0xD800 <= low < 0xE000:  # halves of a pair are no characters
            continue
        if kind not in chosen or _rank(low) < _rank(chosen[kind]):
            chosen[kind] = low
    return sorted(chosen.values(), key=_rank)


def _rank(point: int) -> tuple[int, int]:
    character = chr(point)
    if character in _NICE:
        return 0, _NICE[character]
    if 32 < point < 127 and point != 92:  # a backslash parts values
        return 1, point
    return (2, point) if point >= 160 or point == 32 else (3, point)
