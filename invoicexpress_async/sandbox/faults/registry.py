"""All faults by name. Each is a function, with its description, in one of five modules."""

from collections.abc import Mapping
from types import MappingProxyType

from invoicexpress_async.sandbox.faults import bodies, malformed, no_response, responses, streams
from invoicexpress_async.sandbox.faults.fault import Fault, Kind

_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for module in (no_response, responses, malformed, bodies, streams)
        for kind in vars(module).values()
        if isinstance(kind, Kind)
    }
)

FAULT_NAMES: tuple[str, ...] = tuple(_KINDS)


def make_fault(name: str, **options: object) -> Fault:
    """Return a fault with its options.

    Raises:
        ValueError: The name or an option is unknown, or the value of an option is invalid.
    """
    kind = _find(name)
    try:
        return kind.make(options)
    except TypeError as error:
        raise ValueError(f"not what {name} takes: {error}") from None


def describe_fault(name: str) -> str:
    """Return a description of a fault: its options with their defaults, and what they mean.

    Raises:
        ValueError: There is no fault of that name.
    """
    return _find(name).description()


def _find(name: str) -> Kind:
    kind = _KINDS.get(name)
    if kind is None:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULT_NAMES)}")
    return kind
