"""The look: what pages are drawn with is ours to give, can be read, and is light."""

import gzip
import hashlib
import re
import tomllib
from itertools import product
from pathlib import Path

import pytest

import serantau.apps.web

WEB = Path(serantau.apps.web.__file__).parent
STATIC = WEB / "static"
STYLE = (STATIC / "serantau.css").read_text()
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
TONES = ("good", "info", "warning", "danger", "private")
LABELS = ("tlp-amber", "tlp-green", "tlp-clear")
GROUNDS = ("page", "sheet", "sunk", "raised", "chosen")

# WCAG 2.2 §1.4.3 and §1.4.11: (foreground, background, least contrast).
PAIRS = [
    *product(("ink", "muted", "link", *TONES), GROUNDS, (4.5,)),
    *((tone, f"{tone}-tint", 4.5) for tone in TONES),
    *(("ink", f"{tone}-tint", 4.5) for tone in TONES),
    *product(("on-fill",), ("fill", "fill-over", "danger-fill", "danger-over"), (4.5,)),
    ("private-tint", "private", 4.5),
    ("on-realm", "realm", 4.5),
    ("ink", "mark", 4.5),
    *product(("tlp-red", *LABELS), ("tlp-ground",), (4.5,)),
    *product(("pap-red", *LABELS), ("pap-ground",), (4.5,)),
    *product(("edge", "focus", "bar", "bar-two"), ("page", "sheet", "sunk"), (3.0,)),
]


def tokens(theme: int) -> dict[str, str]:
    """Give the colours of one theme by name; 0 is light, 1 is dark."""
    given = STYLE.partition("/* ---- tokens")[2].partition("/* ---- ground")[0]
    pair = r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);"
    both = {name: found[theme] for name, *found in re.findall(pair, given)}
    return both | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", given))


def luminance(colour: str) -> float:
    """Give the relative luminance of `#rrggbb`, as WCAG defines it."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_everything_written_can_be_read(theme: int) -> None:
    colours = tokens(theme)
    faint = []
    for fore, back, least in PAIRS:
        one, other = luminance(colours[fore]), luminance(colours[back])
        contrast = (max(one, other) + 0.05) / (min(one, other) + 0.05)
        if contrast < least:
            faint.append(f"{fore} on {back}: {contrast:.2f}, expected {least}")
    assert faint == []


def test_files_of_others_are_as_they_came_with_their_licences() -> None:
    listed = tomllib.loads((STATIC / "vendor/vendor.toml").read_text())["file"]
    for each in listed:
        found = hashlib.sha256((STATIC / each["file"]).read_bytes()).hexdigest()
        assert found == each["sha256"], each["file"]
        assert len((STATIC / each["licence_file"]).read_text()) > 500, each["file"]
        assert each["licence"] in {"0BSD", "MIT", "ISC", "OFL-1.1"}
    known = {each[key] for each in listed for key in ("file", "licence_file")}
    held = {
        path.relative_to(STATIC).as_posix()
        for room in ("fonts", "vendor")
        for path in (STATIC / room).iterdir()
    }
    assert held == known | {"vendor/vendor.toml"}


def test_the_style_asks_no_other_host_and_names_each_font_that_is_there() -> None:
    assert "@import" not in STYLE
    asked = set(re.findall(r'url\("?([^")]*)"?\)', STYLE))
    held = {f"fonts/{path.name}" for path in (STATIC / "fonts").glob("*.woff2")}
    assert asked == held


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_writes_style_or_script_into_a_page(path: Path) -> None:
    found = re.findall(
        r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son(?:abort|blur|change|click|error|focus|input|key|load|mouse|pointer|submit|toggle)[a-z]*=|javascript:|hx-on",
        path.read_text(),
    )
    assert found == []


def test_the_style_guide_shows_every_part() -> None:
    parts = (WEB / "templates/parts.html").read_text()
    guide = (WEB / "templates/styleguide.html").read_text()
    shown = set(re.findall(r"parts\.([a-z]\w*)\(", guide))
    assert set(re.findall(r"{% macro ([a-z]\w*)\(", parts)) == shown


def test_script_and_style_of_the_first_page_are_light() -> None:
    files = ("serantau.css", "desk.js", "vendor/htmx.min.js", "vendor/sse.min.js")
    weights = [len(gzip.compress((STATIC / name).read_bytes())) for name in files]
    assert sum(weights) < 150_000
