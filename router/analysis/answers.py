"""What the solver can say of one variable: yes with a value, no, or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Can(Enum):
    """Whether something that satisfies all conditions exists."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is a witness where the answer is yes: values, None for absent, text of a fact."""

    can: Can
    value: Any = None


NO: Final = Answer(Can.NO)
UNKNOWN: Final = Answer(Can.UNKNOWN)
