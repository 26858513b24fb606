"""A local InvoiceXpress: the sequence API on a real socket, with an oracle behind it.

It shares no code with the client, on purpose: every wire name is spelled by hand here, so that
a name misread by the client cannot agree with itself.
"""

from invoicexpress_async.sandbox._accounts import SandboxAccount
from invoicexpress_async.sandbox._behaviour import ErrorShape, SandboxBehaviour
from invoicexpress_async.sandbox._families import SandboxSequence
from invoicexpress_async.sandbox._requests import RecordedRequest
from invoicexpress_async.sandbox._server import Sandbox, serve

__all__ = [
    "ErrorShape",
    "RecordedRequest",
    "Sandbox",
    "SandboxAccount",
    "SandboxBehaviour",
    "SandboxSequence",
    "serve",
]
