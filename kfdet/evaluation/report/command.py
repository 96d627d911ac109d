"""The command that made a run, and variations of it for the next one."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass

_UNKNOWN = ("kfdet", "run", "DATASET", "-o", "RUN")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of kfdet, word by word: program, command, dataset, options with their values.

    Example:
        >>> print(Command.parse("kfdet run videos -o RUN --steps 20").with_option("--steps", 40))
        kfdet run videos -o RUN --steps 40
    """

    words: tuple[str, ...] = _UNKNOWN

    @classmethod
    def parse(cls, text: str) -> Command:
        """A command as typed into a shell; "" where it is not known.

        One that only measures takes no options of a training: `kfdet run` stands for it.
        """
        words = tuple(shlex.split(text))
        return cls(_UNKNOWN if words[1:2] in ((), ("evaluate",)) else words)

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def dataset(self) -> str:
        """The arguments before the options, ready for a shell."""
        return shlex.join(itertools.takewhile(lambda word: word[:1] != "-", self.words[2:]))

    def option(self, name: str) -> str | None:
        """The value of an option; None where it is left out."""
        return next(
            (b for a, b in zip(self.words, self.words[1:], strict=False) if a == name), None
        )

    def without(self, name: str) -> Command:
        """The command without an option and its value."""
        if name not in self.words:
            return self
        at = self.words.index(name)
        return Command((*self.words[:at], *self.words[at + 2 :]))

    def with_option(self, name: str, value: object) -> Command:
        """The command with an option set, whether it was before or not."""
        return Command((*self.without(name).words, name, str(value)))
