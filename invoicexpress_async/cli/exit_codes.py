"""What the exit codes mean; the README's and the help's table."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

MEANINGS: Final = {
    DONE: "all done",
    FAILED: "something was refused or failed",
    USAGE: "wrong usage or configuration; nothing was sent",
    UNKNOWN: "something was sent whose outcome is not known",
    INTERRUPTED: "interrupted",
}
