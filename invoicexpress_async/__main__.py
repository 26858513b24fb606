"""The entry of `invoicexpress` and `python -m invoicexpress_async`."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

_NEEDED: Final = ("cyclopts", "rich")
_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if any(find_spec(name) is None for name in _NEEDED):
        sys.stderr.write(
            "The command line needs an extra: pip install '.[cli]' in a checkout of this package\n"
        )
        return _USAGE
    from invoicexpress_async.cli.entry import run  # noqa: PLC0415  # only with the extra

    return run(sys.argv[1:] if arguments is None else list(arguments))


if __name__ == "__main__":
    sys.exit(main())
