"""The command line, `invoicexpress`. Needs the extra `cli`.

Exit codes: 0 all done; 1 something was refused or failed; 2 wrong usage or configuration, and
nothing was sent; 3 something was sent whose outcome is not known; 130 interrupted.

Data goes to stdout; progress, questions and errors go to stderr. With `--json` both are JSON.
"""
