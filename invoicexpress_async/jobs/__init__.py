"""What every job shares: scheduling, outages, stopping, tables of text, the journal and its file.

It knows no sequence and no company.
"""
