"""The mutants of catalogue.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` is in ``file`` exactly once; ``caught_by`` is a test id as pytest names it."""

    name: str  # guard: what the mutant does without
    file: str
    old: str
    new: str
    caught_by: str


MUTANTS = tuple(Mutant(**one) for one in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"])
