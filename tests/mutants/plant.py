"""Changes the source of one module as it is imported; nothing on disk is touched."""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class NotFound(Exception):
    """The text that is to be replaced is not in its file exactly once: the mutant must follow its code."""


def planted(file: str, old: str, new: str) -> str:
    """Return a file's source with ``old`` replaced by ``new``."""
    source = (ROOT / file).read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise NotFound(f"{file} has {source.count(old)} times {old!r}")
    return source.replace(old, new)


def plant(file: str, old: str, new: str) -> None:
    """Let the module of ``file`` be imported with its mutation; it must not be imported yet."""
    module = file.removesuffix(".py").replace("/", ".")
    assert module not in sys.modules, f"{module} is imported already"
    sys.meta_path.insert(0, _Finder(module, planted(file, old, new)))


class _Finder(MetaPathFinder):
    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._source = source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return the spec of the one module, with a loader that gives it other source."""
        if name != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.origin is not None
        return importlib.util.spec_from_file_location(
            name, spec.origin, loader=_Loader(name, spec.origin, self._source)
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> Any:
        """Compile the changed source; no bytecode is read or written."""
        return compile(self._source, self.path, "exec", dont_inherit=True)
