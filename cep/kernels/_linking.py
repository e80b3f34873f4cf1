"""How numba compiles what kernels are made of: to code that is linked into kernels, and to nothing else.

numba makes a library of every compiled function: with a wrapper that Python can call, optimised together with all that
it calls, and translated to machine code. Of a function that only kernels call none of that is ever used, and since each
of them was optimised and translated again with everything that calls it, it was half of the work.
"""

from __future__ import annotations

import ctypes
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

# A C function that raises a TypeError: what Python meets if it calls a part.
_RAISE = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a part: its own function is simplified, and what that calls is linked in as it is."""

    def _optimize_final_module(self) -> None:
        """A kernel is optimised as a whole."""

    def _finalize_final_module(self) -> None:
        """There is no machine code to make."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int | None:
        return _RAISE

    @property
    def codegen(self) -> _Part:
        """What numba asks to `set_env`."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """A part does not run by itself, so it needs no environment."""


class _Kernel(JITCodeLibrary):  # type: ignore[misc]
    """The code of a kernel: nobody else sees its parts, so LLVM passes them only what they use of the arrays."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage.name == "linkonce_odr":
                function.linkage = "internal"
        super()._optimize_final_module()


class PartCompiler(CompilerBase):  # type: ignore[misc]
    """numba's compiler, for a part."""

    library: type[JITCodeLibrary] = _Part

    def define_pipelines(self) -> list[Any]:
        self.state.library = self.library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


class KernelCompiler(PartCompiler):
    """The same for a kernel."""

    library = _Kernel
