"""The compile command line: `python -m qaickit.compile`, `qaic-exec` and `qaic-compile`."""
