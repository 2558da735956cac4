"""``python -m graphjit``: the same as the command ``graphjit``."""

import sys

from graphjit_cli import main

if __name__ == "__main__":
    sys.exit(main())
