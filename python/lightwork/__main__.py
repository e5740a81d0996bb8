"""`python -m lightwork` is the `lightwork` command."""

from lightwork.cli import main

if __name__ == "__main__":
    main()
