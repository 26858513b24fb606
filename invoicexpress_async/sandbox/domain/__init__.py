"""The rules of the sandbox's server: accounts, sequences, the tax authority, limits."""
