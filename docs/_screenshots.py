"""Pictures of ten pages at two widths, to be looked at: .cache/screenshots.

make screenshots

Takes the built site and a Chromium, which Debian and Ubuntu have as a package.
"""

import shutil
import subprocess
import sys
from pathlib import Path

PAGES = [
    "",
    "first_number",
    "start",
    "choose",
    "regression_fit",
    "likelihoods",
    "gallery",
    "benchmarks",
    "tutorials/mixed_effects",
    "api/infer/fit",
]
WIDTHS = {1300: 2400, 400: 3600}
ROOT = Path(__file__).parents[1]


def main():
    """Write one picture for each page and width."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("install chromium: apt-get install chromium")
    folder = ROOT / ".cache" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        path = ROOT / "site" / page / "index.html"
        for width, height in WIDTHS.items():
            name = page.replace("/", "_") or "home"
            picture = folder / f"{name}_{width}.png"
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
            print(picture)


if __name__ == "__main__":
    main()
