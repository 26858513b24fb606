"""The coroutines of sequences and accounts, and what they do."""
