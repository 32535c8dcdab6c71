"""``python -m tamperscope``: the command line."""

from tamperscope.cli.main import main

if __name__ == "__main__":
    main()
