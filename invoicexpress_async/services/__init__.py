"""The coroutines of sequences and accounts, and the work behind them."""
