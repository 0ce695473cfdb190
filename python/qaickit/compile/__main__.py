"""`python -m qaickit.compile`."""

from qaickit._tools import command

if __name__ == "__main__":
    raise SystemExit(command("qaickit.compile.cli")())
