"""The faults that the sandbox injects on demand."""
