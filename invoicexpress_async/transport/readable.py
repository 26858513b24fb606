"""Whether something has arrived on a socket, read or not."""

import select


def is_readable(descriptor: int) -> bool:
    """Return at once whether a read would give something: data, the end, or an error."""
    if descriptor < 0:
        return True  # it is closed: a read would say so
    if hasattr(select, "poll"):
        # Unlike select(), it knows no highest descriptor.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])  # Windows has no poll
