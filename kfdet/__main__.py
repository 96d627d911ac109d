"""`python -m kfdet` is `kfdet`."""

import sys

from kfdet.cli import main

if __name__ == "__main__":
    sys.exit(main())
