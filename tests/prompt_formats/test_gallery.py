"""The documentation page says what the code does."""

from pathlib import Path

from sagewire.prompt_formats import FORMATS
from sagewire.prompt_formats.gallery import page

PAGE = Path(__file__).parents[2] / "docs" / "prompt_formats.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m sagewire.prompt_formats.gallery > " + str(PAGE)


def test_each_family_has_its_section():
    text = page()
    assert all(f"\n### {name}\n" in text for name in FORMATS if not name.startswith("litellm_"))
