"""Whether something has arrived on a socket, read or not."""

import functools
import select
from collections.abc import Callable


def watch(descriptor: int) -> Callable[[], object]:
    """Return what says at once whether a read would give something: data, the end, or an error.

    What it returns is true or false, and holds for as long as the socket is open.
    """
    if hasattr(select, "poll"):
        # Unlike select(), it knows no highest descriptor.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return functools.partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows has no poll
