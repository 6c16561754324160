"""`python -m tests.fuzz [COUNT]`, from the root of the project."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Where pytest looks for this package, and for conftest, which the corpus needs.
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from fuzz.run import main

    sys.exit(main(sys.argv[1:]))
