"""The pictures of the README, which `make pictures` renews."""

import re
import xml.etree.ElementTree as ElementTree

from programs import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SCREENSHOTS = ["docs/images/page-light.png", "docs/images/page-dark.png"]
CHART = "docs/images/bench.svg"
MAX_BYTES = 150 * 1024


def test_screenshots_are_small_in_both_schemes():
    images = [(REPOSITORY / path).read_bytes() for path in SCREENSHOTS]
    assert all(image.startswith(b"\x89PNG\r\n\x1a\n") for image in images)
    assert sum(map(len, images)) < MAX_BYTES


def test_readme_shows_screenshot_of_readers_scheme():
    [picture] = re.findall(r"<picture>.*?</picture>", README, re.DOTALL)
    light, dark = SCREENSHOTS
    assert re.search(rf'<source media="\(prefers-color-scheme: dark\)" srcset="{dark}">', picture)
    [alternative] = re.findall(rf'<img src="{light}" alt="([^"]+)"', picture)
    assert alternative


def test_chart_has_description():
    chart = ElementTree.parse(REPOSITORY / CHART).getroot()
    assert chart.tag == "{http://www.w3.org/2000/svg}svg"
    assert chart.findtext("{http://www.w3.org/2000/svg}title")
    assert re.search(rf"!\[[^\]]+\]\({CHART}\)", README)
