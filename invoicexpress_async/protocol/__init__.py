"""What is said over the wire, without any I/O: requests, responses, codes, the decision table."""
