"""What pyproject.toml cannot say: the README with links that work where the package is listed."""

import re
from pathlib import Path

from setuptools import setup

HOME = "siren-codec/siren-codec"
PICTURES = f"https://raw.githubusercontent.com/{HOME}/main/"
PAGES = f"https://github.com/{HOME}/blob/main/"


def with_absolute_links(text: str) -> str:
    """Return Markdown whose links into the repository, and pictures, have an address."""
    text = re.sub(r"(!\[[^]]*\]\()(?![a-z]+:|#)", rf"\1{PICTURES}", text)
    return re.sub(r"((?<!!)\[[^]]*\]\()(?![a-z]+:|#)", rf"\1{PAGES}", text)


setup(
    long_description=with_absolute_links(Path("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
