"""`invoicexpress demo`: the whole of it, in a few seconds, without an account or a network."""


def demo() -> int:
    """Ensure next year's serie on 300 made-up accounts, on a server inside this process.

    Some of the accounts are set up wrongly on purpose, to show how that looks.
    """
    from invoicexpress_async.cli.commands.demo_run import run  # noqa: PLC0415  # not for the help

    return run()
