"""Pictures of all pages at two widths, for inspection: .cache/screenshots.

make screenshots
python docs/_screenshots.py [folder or page ...]

Takes the built site and a Chromium, which Debian and Ubuntu have as a package. With names, only
pages under these, such as `tutorials` or `api/layers/dense`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image as image
import numpy as np

WIDTHS = {1300: 16000, 400: 16000}  # and heights: the most that Chromium draws
ROOT = Path(__file__).parents[1]
SITE, FOLDER = ROOT / "site", ROOT / ".cache" / "screenshots"


def main():
    """Write one picture for each page and width."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("install chromium: apt-get install chromium")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in sorted(SITE.rglob("index.html")):
        page = path.parent.relative_to(SITE)
        names = sys.argv[1:] or ["."]
        if not any(page.is_relative_to(name) for name in names):
            continue
        name = "_".join(page.parts) or "home"
        for width, height in WIDTHS.items():
            picture = FOLDER / f"{name}_{width}.png"
            options = [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--window-size={width},{height}",
                f"--screenshot={picture}",
            ]
            subprocess.run(
                [browser, *options, path.as_uri()],
                check=True,
                stderr=subprocess.DEVNULL,
            )
            cut(picture)
            print(picture, flush=True)


def cut(picture):
    """Remove the longest run of equal rows: that between the page and its footer."""
    pixels = image.imread(picture)
    changes = np.flatnonzero((pixels[1:] != pixels[:-1]).any((1, 2)))
    longest = np.diff(changes).argmax()
    start, end = changes[longest] + 20, changes[longest + 1]
    if start < end:
        pixels = np.delete(pixels, np.s_[start:end], axis=0)
    image.imsave(picture, pixels)


if __name__ == "__main__":
    main()
