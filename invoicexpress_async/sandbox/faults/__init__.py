"""What can be made to go wrong in the sandbox, on demand."""
