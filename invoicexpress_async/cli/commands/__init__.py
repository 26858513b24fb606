"""The commands: each module has the signature of one, and then what it does."""
