"""Integrations with what a shop runs already; each needs an extra of its own."""
