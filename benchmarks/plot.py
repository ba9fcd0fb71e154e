"""Draw how fast clients send over links that lose packets, and over links that are long: ``docs/_static/speed.svg``.

``python benchmarks/plot.py --measure`` measures first, which takes a quarter of an hour on a machine that does nothing
else and needs what the measure ``long_link`` of ``run.py`` needs, and keeps the figures in ``speed.json`` beside this
file; without it the figures from there are drawn.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator

from contest import HERE, MIB, ROOT, Contest, Server
from long_link import CLIENTS, Link, rate
from run import material_directory, peer_interpreter

FIGURES = HERE / "speed.json"
PICTURE = ROOT / "docs" / "_static" / "speed.svg"
LOSSES = (0.0, 0.1, 0.5, 1.0)
ROUND_TRIPS = (10.0, 50.0, 100.0, 200.0)
RATE = 200.0
NAMES = {
    "ours": "resumable, cubic",
    "ours, bbr": "resumable, bbr",
    "0.1.1": "resumable.py 0.1.1, cubic",
    "curl -T": "curl -T, cubic",
}
COLOURS = {"ours": "#1f77b4", "ours, bbr": "#17a398", "0.1.1": "#d97706", "curl -T": "#6b7280"}
WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 860, 380, 60, 50, 340, 240
LOWEST, HIGHEST = 0.2, 30.0

Curve = dict[str, float]


def measure(rounds: int) -> dict[str, dict[str, Curve]]:
    """The median rates in MB/s, by what is varied, the client and the value."""
    links = {
        "loss": {f"{loss:g}": Link(50, loss, RATE) for loss in LOSSES},
        "round trip": {f"{trip:g}": Link(trip, 0, RATE) for trip in ROUND_TRIPS},
    }
    found: dict[str, dict[str, Curve]] = {}
    with material_directory(None) as material:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        contest = Contest(rounds, False, Server(""), material, peer_interpreter(), environment)
        for varied, places in links.items():
            found[varied] = {client: {} for client in CLIENTS}
            for value, where in places.items():
                samples: dict[str, list[float]] = {client: [] for client in CLIENTS}
                for _ in range(rounds):
                    for client in CLIENTS:
                        samples[client].append(rate(contest, where, client, _size(client, where)))
                    print(".", end="", file=sys.stderr, flush=True)
                for client, rates in samples.items():
                    found[varied][client][value] = round(statistics.median(rates), 2)
    print(file=sys.stderr)
    return found


def _size(client: str, where: Link) -> int:
    """64 MiB, or less for what is slow from the beginning."""
    if where.loss < 0.5 or client == "ours, bbr":
        return 64 * MIB
    return (32 if client == "ours" else 4) * MIB


def picture(figures: dict[str, dict[str, Curve]], said: str) -> str:
    """The drawing, as the text of an SVG file."""
    titles = {
        "loss": ("packets lost in %, at 50 ms", "MB/s over loss"),
        "round trip": ("round trip in ms, no loss", "MB/s over round trip"),
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif"',
        'font-size="12" fill="#374151">',
        "<title>Rates of uploads over links of 200 Mbit/s</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for place, (varied, (axis, title)) in enumerate(titles.items()):
        lines += _panel(LEFT + place * (PLOT_WIDTH + 80), figures[varied], axis, title)
    for place, client in enumerate(CLIENTS):
        x = LEFT + place * 195
        lines.append(f'<rect x="{x}" y="{HEIGHT - 36}" width="14" height="4" fill="{COLOURS[client]}"/>')
        lines.append(f'<text x="{x + 20}" y="{HEIGHT - 30}">{NAMES[client]}</text>')
    lines.append(f'<text x="{LEFT}" y="{HEIGHT - 8}" font-size="10" fill="#6b7280">{said}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _panel(left: float, curves: dict[str, Curve], axis: str, title: str) -> Iterator[str]:
    values = list(next(iter(curves.values())))
    bottom = TOP + PLOT_HEIGHT

    def across(place: int) -> float:
        return left + 20 + place * (PLOT_WIDTH - 40) / (len(values) - 1)

    def up(figure: float) -> float:
        share = math.log(max(figure, LOWEST) / LOWEST) / math.log(HIGHEST / LOWEST)
        return bottom - share * PLOT_HEIGHT

    yield f'<text x="{left}" y="{TOP - 18}" font-size="14" font-weight="bold">{title}</text>'
    for figure in (0.2, 0.5, 1, 2, 5, 10, 25):
        y = up(figure)
        yield f'<line x1="{left}" x2="{left + PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{figure:g}</text>'
    for place, value in enumerate(values):
        yield f'<text x="{across(place):.1f}" y="{bottom + 18}" text-anchor="middle">{value}</text>'
    yield f'<text x="{left + PLOT_WIDTH / 2}" y="{bottom + 36}" text-anchor="middle">{axis}</text>'
    for client, curve in curves.items():
        points = [(across(place), up(figure)) for place, figure in enumerate(curve.values())]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{text}" fill="none" stroke="{COLOURS[client]}" stroke-width="2"/>'
        for (x, y), (value, figure) in zip(points, curve.items(), strict=True):
            yield (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOURS[client]}">'
                f"<title>{NAMES[client]}, {value}: {figure:g} MB/s</title></circle>"
            )


def main() -> None:
    """Measure if that is wanted, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.measure:
        load = os.getloadavg()[0]
        figures = measure(arguments.rounds)
        said = (
            f"200 Mbit/s, files of 4 to 64 MiB, rounds: {arguments.rounds}, {time.strftime('%Y-%m-%d')}, "
            f"{os.cpu_count()} cores, load {load:.1f} at the beginning"
        )
        FIGURES.write_text(json.dumps({"said": said, "figures": figures}, indent=1) + "\n")
    kept = json.loads(FIGURES.read_text())
    PICTURE.write_text(picture(kept["figures"], kept["said"]))


if __name__ == "__main__":
    main()
