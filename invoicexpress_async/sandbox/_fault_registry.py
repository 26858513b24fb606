"""Every fault by its name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from invoicexpress_async.sandbox import _fault_answers as answers
from invoicexpress_async.sandbox import _fault_silences as silences
from invoicexpress_async.sandbox._fault import Fault

_FACTORIES: Mapping[str, Callable[..., Fault]] = MappingProxyType(
    {
        "close_on_accept": silences.CloseOnAccept,
        "reset_on_accept": silences.ResetOnAccept,
        "hang_on_accept": silences.HangOnAccept,
        "close_unread": silences.CloseUnread,
        "reset_unread": silences.ResetUnread,
        "hang_unread": silences.HangUnread,
        "reset_half_body": silences.ResetHalfBody,
        "stale_keep_alive": silences.StaleKeepAlive,
        "close_after_read": silences.CloseAfterRead,
        "reset_peer": silences.ResetPeer,
        "timeout": silences.Timeout,
        "status": answers.Status,
    }
)

FAULT_NAMES: tuple[str, ...] = tuple(_FACTORIES)


def make_fault(name: str, **options: object) -> Fault:
    """Return a fault with its options.

    Raises:
        ValueError: The name or an option is unknown, or the option's value is not possible.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULT_NAMES)}")
    try:
        return factory(name=name, **options)
    except TypeError as error:
        raise ValueError(f"not an option of {name}: {error}") from None
