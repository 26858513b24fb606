"""The real client and journal on a simulated machine: each seed is one history."""
