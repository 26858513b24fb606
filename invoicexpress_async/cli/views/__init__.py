"""The views of jobs, audits and roll-overs: tables, reports, pages and JSON."""
