"""``python -m edgekd``: the command line."""

from edgekd.cli.main import main

if __name__ == "__main__":
    main()
