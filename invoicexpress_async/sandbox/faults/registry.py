"""Every fault by its name."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import attrs

from invoicexpress_async.sandbox.faults import (
    answers,
    bodies,
    malformed,
    silences,
    streams,
)
from invoicexpress_async.sandbox.faults.fault import Fault, ReadFault

_WHEN_READ = inspect.cleandoc(ReadFault.__doc__ or "")


@attrs.frozen
class _Kind:
    """A class of faults; with `summary` and `fixed` it stands under a name of its own."""

    of: type[Fault]
    summary: str = ""
    fixed: Mapping[str, object] = MappingProxyType({})

    def make(self, name: str, options: Mapping[str, object]) -> Fault:
        construct = cast("Callable[..., Fault]", self.of)
        hidden = [option for option in options if option not in self.options()]
        if hidden:
            raise ValueError(f"not an option of {name}: {', '.join(hidden)}")
        return construct(name=name, **{**self.fixed, **options})

    def options(self) -> dict[str, object]:
        """Return the options that may be given, and their defaults."""
        hidden = {"name", "render", "encoding", "content_type"}
        fields = {field.name: field.default for field in attrs.fields(self.of)}
        options = {name: default for name, default in fields.items() if name not in hidden}
        return {name: self.fixed.get(name, default) for name, default in options.items()}

    def description(self) -> str:
        return self.summary or inspect.getdoc(self.of) or ""


def _body(
    summary: str, render: Callable[[bytes], bytes], content_type: str | None = None, **fixed: object
) -> _Kind:
    fixed = {"render": render, "content_type": content_type, **fixed}
    return _Kind(bodies.BodyFault, summary, MappingProxyType(fixed))


def _compressed(summary: str, render: Callable[[bytes], bytes], encoding: str = "gzip") -> _Kind:
    fixed = {"render": render, "encoding": encoding}
    return _Kind(bodies.Compressed, summary, MappingProxyType(fixed))


def _bomb(encoding: str) -> _Kind:
    return _Kind(bodies.Bomb, fixed=MappingProxyType({"encoding": encoding}))


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        # Before anything is known of a request.
        "close_on_accept": _Kind(silences.CloseOnAccept),
        "reset_on_accept": _Kind(silences.ResetOnAccept),
        "hang_on_accept": _Kind(silences.HangOnAccept),
        # When a request's head has arrived.
        "close_unread": _Kind(silences.CloseUnread),
        "reset_unread": _Kind(silences.ResetUnread),
        "hang_unread": _Kind(silences.HangUnread),
        "stale_keep_alive": _Kind(silences.StaleKeepAlive),
        "reset_half_body": _Kind(silences.ResetHalfBody),
        "early_answer": _Kind(answers.EarlyAnswer),
        # When a request was read to its end.
        "close_after_read": _Kind(silences.CloseAfterRead),
        "reset_peer": _Kind(silences.ResetPeer),
        "timeout": _Kind(silences.Timeout),
        "status": _Kind(answers.Status),
        "interim_answer": _Kind(answers.Interim),
        "close_after_answer": _Kind(answers.CloseAfterAnswer),
        "trailing_answer": _Kind(answers.TrailingAnswer),
        "shared_cookie": _Kind(answers.SharedCookie),
        "echo_key": _Kind(answers.EchoKey),
        "status_line_only": _Kind(malformed.StatusLineOnly),
        "limit_data": _Kind(malformed.LimitData),
        "stall": _Kind(malformed.Stall),
        "cut_chunk": _Kind(malformed.CutChunk),
        "bad_chunk": _Kind(malformed.BadChunk),
        "cut_without_length": _Kind(malformed.CutWithoutLength),
        "garbage": _Kind(malformed.Garbage),
        "big_header": _Kind(malformed.BigHeader),
        "many_headers": _Kind(malformed.ManyHeaders),
        "two_lengths": _Kind(malformed.TwoLengths),
        "truncated_json": _body("Respond with the first half of the JSON.", bodies.truncated),
        "invalid_json": _body(
            "Respond with what is not JSON.", bodies.constant(b"{'sequence': undefined,}")
        ),
        "nan": _body("Respond with an id that is NaN.", bodies.not_a_number),
        "two_ids": _body("Respond with two ids in one object.", bodies.two_ids),
        "deep_nesting": _Kind(bodies.DeepNesting),
        "huge_integer": _Kind(bodies.HugeInteger),
        "invalid_utf8": _body("Respond with a name that is not UTF-8.", bodies.invalid_utf8),
        "byte_order_mark": _body("Respond with a byte-order mark before the JSON.", bodies.marked),
        "nonsense_charset": _body(
            "Respond in a charset that does not exist.",
            bodies.unchanged,
            "application/json; charset=klingon-8",
        ),
        "empty": _body("Respond with an empty body.", bodies.constant(b"")),
        "one_space": _body("Respond with one space.", bodies.constant(b" ")),
        "null": _body("Respond with null.", bodies.constant(b"null")),
        "empty_list": _body("Respond with [].", bodies.constant(b"[]")),
        "empty_object": _body("Respond with {}.", bodies.constant(b"{}")),
        "without_id": _body("Respond with rows or an account without an id.", bodies.without_id),
        "another_serie": _body("Respond with rows of another name.", bodies.another_serie),
        "other_envelope": _body(
            "Respond with sequences in place of sequence, or the reverse.", bodies.other_envelope
        ),
        "other_list": _body(
            "Respond with a list in place of an object, or the reverse.", bodies.other_list
        ),
        "login_page": _body(
            "Respond with an HTML page and status 200.",
            bodies.login_page,
            "text/html; charset=utf-8",
            status=200,
        ),
        "gzip": _compressed(
            "Respond with the true body, compressed as it should be.", bodies.gzipped
        ),
        "bad_gzip": _compressed("Respond with a plain body that says gzip.", bodies.plain),
        "truncated_gzip": _compressed(
            "Respond with the first half of a gzip body.", bodies.truncated_gzip
        ),
        "gzip_bomb": _bomb("gzip"),
        "deflate_bomb": _bomb("deflate"),
        "brotli_bomb": _compressed(
            "Respond with 100,000,000 spaces, compressed by Brotli to 158 bytes.",
            bodies.brotli_bomb,
            "br",
        ),
        "latency": _Kind(streams.Latency),
        "slicer": _Kind(streams.Slicer),
        "bandwidth": _Kind(streams.Bandwidth),
        "slow_close": _Kind(streams.SlowClose),
        "big_body": _Kind(streams.BigBody),
        "huge_length": _Kind(streams.HugeLength),
        "endless_chunks": _Kind(streams.EndlessChunks),
        "endless_head": _Kind(streams.EndlessHead),
    }
)

FAULT_NAMES: tuple[str, ...] = tuple(_KINDS)


def make_fault(name: str, **options: object) -> Fault:
    """Return a fault with its options.

    Raises:
        ValueError: The name or an option is unknown, or the option's value is not possible.
    """
    kind = _find(name)
    try:
        return kind.make(name, options)
    except TypeError as error:
        raise ValueError(f"not what {name} takes: {error}") from None


def describe_fault(name: str) -> str:
    """Return what a fault does, its options with their defaults, and what they mean.

    Raises:
        ValueError: There is none of that name.
    """
    kind = _find(name)
    options = ", ".join(f"{option}={default!r}" for option, default in kind.options().items())
    parts = [f"{name}({options})", kind.description()]
    if issubclass(kind.of, ReadFault):
        parts.append(_WHEN_READ)
    return "\n\n".join(parts)


def _find(name: str) -> _Kind:
    kind = _KINDS.get(name)
    if kind is None:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULT_NAMES)}")
    return kind
