"""What a job, an audit or a roll-over shows of its records."""
