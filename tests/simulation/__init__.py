"""Runs the real client and journal on simulated machines. Each seed gives one history."""
