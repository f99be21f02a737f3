"""Whether what a page says can be read: the contrast of each text with what is behind it."""

from __future__ import annotations

from playwright.sync_api import Page

_LEAST = 4.5
"""Contrast of text of the usual size, by WCAG 2.2, success criterion 1.4.3."""

_HARD_TO_READ = """
least => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const [red, green, blue] = parts(color).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (parts(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = element => {
    const [low, high] = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll("*")].filter(hasText)
    .map(element => [element.textContent.trim().slice(0, 40), Math.round(contrast(element) * 100) / 100])
    .filter(found => found[1] < least);
}
"""


def hard_to_read(page: Page) -> list[list[object]]:
    """Texts with too little contrast, each with its contrast, from 1 to 21."""
    found: list[list[object]] = page.evaluate(_HARD_TO_READ, _LEAST)
    return found
