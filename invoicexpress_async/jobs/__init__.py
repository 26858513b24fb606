"""What all jobs share: scheduling, outages, stopping, input tables, the journal and its stores.

Nothing here depends on sequences or companies.
"""
