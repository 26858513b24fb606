"""One call under one deadline: limiter, attempts, retries, and looking up unknown outcomes."""
