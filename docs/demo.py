#!/usr/bin/env python3
"""Makes demo.svg, the picture of the README: two terminals, of which one changes variables and the
other watches them. Every line of output is what the command printed, at the time at which it did.

    cargo build --release --bin mapvar && docs/demo.py target/release/mapvar
"""

import html
import pathlib
import subprocess
import sys
import threading
import time

MAP = "sim"
WATCH = f"mapvar watch {MAP}"
# Command lines of the left terminal, and how long a person reads before typing the next one.
STEPS = [
    ("mapvar set sim speed 3.5", 1.2),
    ("mapvar set sim state ready", 1.2),
    ("mapvar hold sim --join --ephemeral worker=busy -- sleep 9 &", 1.8),
    ("kill -9 %1", 1.8),
    ("mapvar get sim speed", 2.0),
]
TYPING = 0.03  # seconds a character

WIDTH, LINE, TOP, MIDDLE = 940, 20, 58, 570


def record(mapvar):
    """Runs the steps; returns, for each terminal, pairs of a time and a line, and the end."""
    hold = subprocess.Popen([mapvar, "hold", MAP], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while subprocess.run([mapvar, "stat", MAP], capture_output=True).returncode != 0:
        time.sleep(0.02)
    watch = subprocess.Popen([mapvar, "watch", MAP], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    start = time.monotonic()
    left, right = [], [(0.0, "$ " + WATCH)]

    def follow():
        for line in watch.stdout:
            right.append((time.monotonic() - start, line.rstrip("\n")))

    threading.Thread(target=follow, daemon=True).start()
    worker = None
    time.sleep(1)
    for line, pause in STEPS:
        left.append((time.monotonic() - start, "$ " + line))
        time.sleep(TYPING * len(line))
        words = [mapvar if word == "mapvar" else word for word in line.split()]
        if line.startswith("kill"):
            worker.kill()
        elif words[-1] == "&":
            worker = subprocess.Popen(words[:-1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            left += [(time.monotonic() - start, out) for out in done.stdout.splitlines()]
        time.sleep(pause)
    end = time.monotonic() - start
    for process in (watch, hold):
        process.terminate()
        process.wait()
    return left, right, end


def terminal(lines, x, end):
    """The lines of one terminal; each appears at its time and stays until the end."""
    for number, (at, line) in enumerate(lines):
        share = 100 * at / end
        y = TOP + number * LINE
        name = f"l{x}-{number}"
        kind = "typed" if line.startswith("$ ") else "told"
        yield (
            f"<style>@keyframes {name}{{0%,{share:.2f}%{{opacity:0}}{share + 0.01:.2f}%,100%{{opacity:1}}}}"
            f"#{name}{{animation:{name} {end:.1f}s infinite}}</style>"
            f'<text id="{name}" class="{kind}" x="{x}" y="{y}">{html.escape(line.expandtabs(10))}</text>'
        )


def main():
    left, right, end = record(sys.argv[1] if len(sys.argv) > 1 else "mapvar")
    height = TOP + LINE * max(len(left), len(right)) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
        "<style>text{font:13px ui-monospace,Consolas,Menlo,monospace;white-space:pre}"
        ".typed{fill:#e6edf3}.told{fill:#7ee787}.title{fill:#8b949e}"
        "@media (prefers-reduced-motion:reduce){text{animation:none!important}}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#0d1117"/>',
        f'<line x1="{MIDDLE - 10}" y1="12" x2="{MIDDLE - 10}" y2="{height - 12}" stroke="#30363d"/>',
        '<text class="title" x="16" y="28">one terminal</text>',
        f'<text class="title" x="{MIDDLE}" y="28">another</text>',
        *terminal(left, 16, end),
        *terminal(right, MIDDLE, end),
        "</svg>",
    ]
    pathlib.Path(__file__).with_suffix(".svg").write_text("\n".join(parts) + "\n")


main()
