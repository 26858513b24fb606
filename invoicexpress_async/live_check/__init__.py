"""What `invoicexpress live-check` does: compare a real server with what this project assumes.

It sends plain HTTP requests of its own, since the client's transport hides what must be seen here
(headers, redirects, the exact body), compares each response with the OpenAPI description in
`data/openapi.json`, and writes recordings that hold no value of the account's.
"""
