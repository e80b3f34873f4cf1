"""How numba compiles what kernels are made of: to code that is linked into kernels, and to nothing else.

numba makes a whole library of every compiled function: with a wrapper that Python can call, optimised together with all
that it calls, and translated to machine code. Of a function that only kernels call none of that is ever used, and as
each kernel is optimised with all its parts again, it took half of the time that compiling takes.
"""

from __future__ import annotations

import ctypes
from typing import Any

from llvmlite.binding import Linkage, ModuleRef
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

# A C function that raises a TypeError: what Python meets if it calls a part.
_RAISE = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a part: its own function is simplified, and what that calls is linked in as it is."""

    def _optimize_final_module(self) -> None:
        """The kernel is optimised as a whole."""

    def _finalize_final_module(self) -> None:
        """There is no machine code to make."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int | None:
        return _RAISE

    @property
    def codegen(self) -> _Part:
        """numba asks for this only to `set_env`."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """A part is not run, so it needs no environment."""


class _PartApart(_Part):
    """The code of a part that stays a function of its own."""

    def add_llvm_module(self, module: ModuleRef) -> None:
        for function in module.functions:
            if not function.is_declaration and function.linkage == Linkage.external:  # numba's helpers are not
                function.add_function_attribute("noinline")
        super().add_llvm_module(module)


class PartCompiler(CompilerBase):  # type: ignore[misc]
    """numba's compiler, with a library of ours."""

    library = _Part

    def define_pipelines(self) -> list[Any]:
        self.state.library = self.library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class ApartCompiler(PartCompiler):
    """The same for a part that stays a function of its own."""

    library = _PartApart
