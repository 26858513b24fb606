"""One call under one deadline: limiter, attempts, retries, and reading for what is unknown."""
