"""The checks of `invoicexpress live-check`: compare a real server with this project's assumptions.

They do not use the client's transport, which hides what must be seen here (headers, redirects, the
exact body), but send plain HTTP requests. Each response is compared with the OpenAPI description
in `data/openapi.json`. Recordings hold no value of the account.
"""
