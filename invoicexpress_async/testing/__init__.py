"""Tools for testing programs that use this package, under any test runner.

Under pytest the fixtures of `invoicexpress_async.pytest_plugin` are enough. This module has the
parts for fixtures of another scope, for unittest, and for scripts.
"""

from invoicexpress_async.testing._aioresponses import mended_aioresponses, patched_aioresponses
from invoicexpress_async.testing._manager import quick_manager
from invoicexpress_async.testing._sandbox_thread import SandboxThread

__all__ = ["SandboxThread", "mended_aioresponses", "patched_aioresponses", "quick_manager"]
