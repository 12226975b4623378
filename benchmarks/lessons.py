"""How long the lessons' pages take to answer a slider or a key: the slowest of each page's controls.

hwsim teach --site reports/lessons --force && python benchmarks/lessons.py reports/lessons
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SLOWEST = """() => {
  const found = [];
  for (const input of document.querySelectorAll('.widget input[type=range]')) {
    const before = input.value, times = [];
    for (const value of [input.min, input.max, Math.floor(input.max / 2), before]) {
      input.value = value;
      const start = performance.now();
      input.dispatchEvent(new Event('input', { bubbles: true }));
      document.body.getBoundingClientRect();  // laid out
      times.push(performance.now() - start);
    }
    found.push([Math.max(...times), input.closest('.widget').dataset.kind + '.' + input.dataset.name]);
  }
  return found.sort((a, b) => b[0] - a[0]);
}"""
WORST = "#tiling.v1=1&tiling.v2=1&tiling.v3=1&tiling.budget=3"  # word by word, n = 64


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        for file in sorted(folder.glob("*.html")):
            for address in [""] if file.stem != "tiling" else ["", WORST]:
                page.goto("about:blank")
                page.goto(file.as_uri() + address)
                page.evaluate(SLOWEST)  # compiled
                for milliseconds, name in page.evaluate(SLOWEST)[:2]:
                    print(f"{file.stem:<10} {name:<16} {milliseconds:6.1f} ms {address}")


if __name__ == "__main__":
    main()
