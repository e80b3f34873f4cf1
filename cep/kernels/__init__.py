"""numba kernels: loops over arrays, nothing else. The jit flags and the compile cache are decided here, once.

numba's cache sees changes in a kernel's own file only, so ours lives in a folder named by a digest of everything that
a kernel is compiled from. Where no folder can be written (a read-only install without a home) kernels are compiled
anew in each process, and `CACHE_FOLDER` is None so that the command line can say so once.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def _digest() -> str:
    """A digest of the sources that kernels are compiled from, and of the numba that compiles them."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    here = Path(__file__).parent
    for source in [here.parent / "layout.py", *sorted(here.glob("*.py"))]:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _writable_folder() -> Path | None:
    """The first folder for compiled kernels that a file can be written to."""
    named = os.environ.get("CEP_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    cache_home = os.environ.get("XDG_CACHE_HOME")
    home = Path(cache_home) if cache_home else Path(os.path.expanduser("~")) / ".cache"
    for root in [Path(named)] if named else [home / "cep"]:
        folder = root / f"kernels-{_digest()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


CACHE_FOLDER = _writable_folder()
if CACHE_FOLDER is not None:
    numba.config.CACHE_DIR = str(CACHE_FOLDER)


def jit(function: Function) -> Function:
    """Compile a kernel: no Python objects, no GIL, IEEE floats (a sum must not depend on the compiler's mood).

    Without numba's run time (`_nrt`) nothing can be allocated, which the compiler then enforces, and no array is
    reference-counted, which makes kernels that pass tuples of arrays to each other five times faster. The caller holds
    all arrays for the length of the call.
    """
    compiled: Function = numba.njit(cache=CACHE_FOLDER is not None, nogil=True, error_model="numpy", _nrt=False)(
        function
    )
    return compiled


def inline(function: Function) -> Function:
    """Compile a small function into its callers: a call between kernels would copy every array's description."""
    compiled: Function = numba.njit(nogil=True, error_model="numpy", _nrt=False, forceinline=True)(function)
    return compiled
