"""One attempt and its evidence. The only importer of aiohttp's client.

aiohttp's own conveniences that would break a promise are off: cookies, redirects, environment
proxies, the hidden second send of a GET or PUT, unbounded bodies.
"""

from invoicexpress_async._transport._attempt import Attempt
from invoicexpress_async._transport._lane import TransportOptions
from invoicexpress_async._transport._pool import Transport
from invoicexpress_async._transport._trace_hooks import shield_hooks

__all__ = ["Attempt", "Transport", "TransportOptions", "shield_hooks"]
