"""``python -m medbench``, for machines where the command is not on the path."""

from medbench.cli.main import main

if __name__ == "__main__":
    main()
