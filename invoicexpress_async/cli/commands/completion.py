"""`invoicexpress completion`: scripts that complete commands, options and file names."""

import re
import sys
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from invoicexpress_async.cli.app import build
from invoicexpress_async.cli.shell import DONE

_FUNCTION: Final = re.compile(r"^(\w+)\(\)", re.MULTILINE)


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], Parameter(help="The shell to print the script for.")
    ],
    /,
) -> int:
    """Print the script by which a shell completes commands, options and file names.

    In ~/.bashrc: eval "$(invoicexpress completion bash)"

    In ~/.zshrc, after compinit: eval "$(invoicexpress completion zsh)"

    In config.fish: invoicexpress completion fish | source
    """
    script = build().generate_completion(shell=shell)
    sys.stdout.write(script)
    if shell == "zsh" and (function := _FUNCTION.search(script)):
        # cyclopts writes it for a file in zsh's fpath; for `eval` it must be bound to the program.
        sys.stdout.write(f"compdef {function[1]} invoicexpress\n")
    return DONE
