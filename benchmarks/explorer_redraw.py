"""Time from a click on a pixel to the redrawn heat maps: a 480p video, six slots, in headless Chromium.

    python benchmarks/explorer_redraw.py [--clicks 40] [--size 240]

Prints milliseconds: median, 90 % and most, of the click's event to the last canvas painted (the question to
Python, the attention, and the drawing are in it). Nothing is written.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from stremn.data.clips import write_mask
from stremn.generate.procedural import ClipSettings, make_clip

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]
MEASURE = """async (share) => {
  const explorer = document.querySelector('.stremn-explorer'), canvas = explorer.querySelector('.stage-canvas');
  const box = canvas.getBoundingClientRect();
  const redrawn = explorer.dataset.redrawn, began = performance.now();
  const where = {clientX: box.left + share[0] * box.width, clientY: box.top + share[1] * box.height, bubbles: true};
  canvas.dispatchEvent(new MouseEvent('click', where));
  while (explorer.dataset.redrawn === redrawn) await new Promise(go => requestAnimationFrame(go));
  return performance.now() - began;
}"""


def video(folder: Path, frames: int) -> tuple[Path, Path]:
    """A generated clip of 854 × 480 as a folder of images, and the mask of its first frame."""
    clip = make_clip(ClipSettings(length=frames, size=480, objects=1), "test", 0)
    wide = np.pad(clip.frames, ((0, 0), (0, 0), (187, 187), (0, 0)), mode="reflect")
    (folder / "frames").mkdir()
    for number, frame in enumerate(wide):
        Image.fromarray(frame).save(folder / "frames" / f"{number:05d}.jpg")
    write_mask(folder / "mask.png", np.pad(clip.masks[0], ((0, 0), (187, 187))))
    return folder / "frames", folder / "mask.png"


def measure(url: str, clicks: int) -> list[float]:
    """Milliseconds of each click, on the frames in turn."""
    rng = np.random.default_rng(0)
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        page = playwright.chromium.launch(executable_path=found, args=ARGUMENTS).new_page(
            viewport={"width": 1360, "height": 1100}
        )
        page.goto(url)
        page.wait_for_selector(".stremn-explorer[data-ready=true]", timeout=300_000)
        page.wait_for_function(
            "document.querySelector('.status').textContent.includes('done')", timeout=600_000
        )
        times = []
        for click in range(clicks):
            if click % 10 == 0:
                page.locator(".timeline-canvas").focus()
                page.keyboard.press("End" if click == 0 else "ArrowLeft")
                page.wait_for_timeout(800)
            times.append(float(page.evaluate(MEASURE, rng.uniform(0.1, 0.9, 2).tolist())))
        return times


def main() -> None:
    """Serve the page, click, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=480, help="shorter side at which frames are looked at")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        frames, mask = video(Path(folder), given.frames)
        command = [
            sys.executable,
            "-m",
            "stremn.cli",
            "explore",
            str(frames),
            "--mask",
            str(mask),
            "--no-browser",
        ]
        command += ["--slots", "6", "--size", str(given.size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            try:
                times = sorted(measure(url, given.clicks))
            finally:
                server.terminate()
    print(
        f"854x480 looked at with {given.size}, 6 slots, {given.clicks} clicks: median "
        f"{statistics.median(times):.0f} ms, 90 % {times[int(0.9 * len(times))]:.0f} ms, most {times[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main()
