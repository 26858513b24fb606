"""One attempt and its evidence. Only this package uses aiohttp's client.

The features of aiohttp that would break a promise are off: cookies, redirects, environment
proxies, the hidden second send of a GET or PUT, unbounded bodies.
"""

from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import TransportOptions
from invoicexpress_async.transport.pool import Transport
from invoicexpress_async.transport.session_sender import shield_hooks

__all__ = ["Attempt", "Transport", "TransportOptions", "shield_hooks"]
