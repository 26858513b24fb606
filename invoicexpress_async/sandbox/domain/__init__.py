"""What the sandbox's server knows and decides: accounts, sequences, the tax authority, limits."""
