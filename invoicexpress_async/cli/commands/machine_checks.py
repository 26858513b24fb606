"""Checks of this machine: versions, open files, proxies."""

import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from invoicexpress_async.cli.commands.check import Check, doubtful, fine, wrong
from invoicexpress_async.config import MAX_CONNECTIONS_VARIABLE

_PACKAGE: Final = "invoicexpress-async"
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)$")
_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_DEFAULT_CONNECTIONS: Final = 100
_OTHER_FILES: Final = 50  # the interpreter's own, a journal, a log


def machine_checks() -> Iterator[Check]:
    """Look at what is installed and at what the system allows. Nothing is sent."""
    yield _versions()
    yield _open_files()
    if proxy := next((name for name in _PROXIES if os.environ.get(name)), None):
        yield doubtful(
            "proxy",
            f"{proxy} is set, and proxies of the environment are not used",
            "If this machine reaches the internet through a proxy only, give "
            "SessionManager(proxy=...).",
        )


def _versions() -> Check:
    floors = _floors()
    installed = {name: _installed(name) for name in floors}
    shown = ", ".join(f"{name} {installed[name]}" for name in floors)
    found = f"{_PACKAGE} {version(_PACKAGE)}, Python {platform.python_version()}, {shown}"
    old = [name for name in floors if _numbers(installed[name]) < _numbers(floors[name])]
    if old:
        wanted = " ".join(f"'{name}>={floors[name]}'" for name in old)
        return wrong("versions", found, f"Run: pip install {wanted}")
    return fine("versions", found)


def _floors() -> dict[str, str]:
    """Return the lowest versions that this package takes; what extras want is left out."""
    matches = (_REQUIREMENT.fullmatch(one) for one in requires(_PACKAGE) or ())
    return {match[1]: match[2] for match in matches if match}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "0 (missing)"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _open_files() -> Check:
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return fine("open files", "this system sets no limit for them")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = os.environ.get(MAX_CONNECTIONS_VARIABLE, "")
    needed = (int(text) if text.isdecimal() else _DEFAULT_CONNECTIONS) + _OTHER_FILES
    found = "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return wrong(
            "open files",
            f"{found}, and {needed} may be needed",
            f"Run: ulimit -n {needed}, or set {MAX_CONNECTIONS_VARIABLE} to fewer.",
        )
    return fine("open files", f"{found}; {needed} may be needed")
