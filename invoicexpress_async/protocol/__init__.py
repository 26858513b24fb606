"""The protocol of the API, without any I/O: requests, responses, codes, the decision table."""
