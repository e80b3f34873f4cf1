"""numba kernels: loops over arrays, nothing else. The jit flags and the compile cache are decided here, once.

numba's cache sees changes in a kernel's own file only, so each module's kernels live in a folder that is named by a
digest of everything that they are compiled from: the module and what it imports of this package. Where no folder can be
written (a read-only install without a home) kernels are compiled anew in each process, and `CACHE_FOLDER` is None so
that the command line can say so once.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from cep.kernels._linking import KernelCompiler, PartCompiler

Function = TypeVar("Function", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_IMPORTED = re.compile(r"^from cep\.((?:kernels|layout)\.\w+) import", re.MULTILINE)


def _source(module: str) -> Path:
    """The file of `layout.NAME` or `kernels.NAME`."""
    return _HERE.parent / f"{module.replace('.', '/')}.py"


@cache
def _sources(module: str) -> frozenset[str]:
    """The module and, over any number of others, what it imports of this package."""
    found, waiting = {module}, [module]
    while waiting:
        imported = set(_IMPORTED.findall(_source(waiting.pop()).read_text(encoding="utf-8"))) - found
        found |= imported
        waiting += imported
    return frozenset(found)


def _digest(modules: frozenset[str]) -> str:
    """A digest of some modules, of how they are compiled, and of the numba that compiles them."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for source in [*sorted(_HERE.glob("_*.py")), *(_source(module) for module in sorted(modules))]:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _writable_folder() -> Path | None:
    """The first folder for compiled kernels that a file can be written to, named by all kernels there are."""
    named = os.environ.get("CEP_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    cache_home = os.environ.get("XDG_CACHE_HOME")
    home = Path(cache_home) if cache_home else Path(os.path.expanduser("~")) / ".cache"
    everything = frozenset().union(*(_sources(f"kernels.{path.stem}") for path in _HERE.glob("[!_]*.py")))
    for root in [Path(named)] if named else [home / "cep"]:
        folder = root / f"kernels-{_digest(everything)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


CACHE_FOLDER = _writable_folder()


@cache
def _choose_folder(module: str) -> str:
    """The folder for a module's compiled kernels, beside those of other versions and modules."""
    assert CACHE_FOLDER is not None
    name = module.removeprefix("cep.")
    return str(CACHE_FOLDER.parent / f"{name}-{_digest(_sources(name))}")


# IEEE floats, for a sum must not depend on the compiler's mood, and no GIL. Without numba's run time (`_nrt`) nothing
# can be allocated, which the compiler then enforces, and no array is reference-counted, which makes kernels that pass
# tuples of arrays to each other five times faster. The caller holds all arrays for the length of the call.
# `forceinline` is said because numba would take it over from whatever function happens to ask for this one first.
_FLAGS = {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": False, "no_cfunc_wrapper": True}
_PART = {**_FLAGS, "no_cpython_wrapper": True, "pipeline_class": PartCompiler}


def kernel(function: Function) -> Function:
    """Compile what Python calls, and keep it in the cache: it and all its parts are optimised as one."""
    if CACHE_FOLDER is not None:
        numba.config.CACHE_DIR = _choose_folder(function.__module__)  # read when the dispatcher is made
    compiled: Function = numba.njit(cache=CACHE_FOLDER is not None, pipeline_class=KernelCompiler, **_FLAGS)(function)
    return compiled


def jit(function: Function) -> Function:
    """Compile a part of kernels, which Python cannot call; LLVM decides where it becomes one with its caller."""
    compiled: Function = numba.njit(**_PART)(function)
    return compiled


def inline(function: Function) -> Function:
    """Compile a small part into its callers: a call between parts would copy every array's description."""
    compiled: Function = numba.njit(**_PART | {"forceinline": True})(function)
    return compiled
