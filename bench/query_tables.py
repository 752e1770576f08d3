"""The figures of bench/queries.py as tables in RESULTS.md, a section for each size, and as a plot over sizes."""

import json
from pathlib import Path
from typing import Any

from bench import report as figures_of

HERE = Path(__file__).parent
RIVALS = {"postgres": "PostgreSQL 18", "duckdb": "DuckDB"}
AFTER = ", learnt"
AIMS = {
    "count, all": (30, 60), "count, one name": (30, 60), "count, all, odd bounds": (30, 60), "series by hour, all": (30, 60),
    "series by hour, one name": (30, 60), "series by day, all, Berlin": (30, 60), "series by day, one name": (30, 60),
    "group by a tag, one name": (50, 300), "stats of value, one name": (120, 800), "list 50, all": (50, 150),
    "list 50, one name": (50, 150), "list 50, one user": (50, 150), "list 50, one tag": (100, 500), "get by id": (20, 50),
    "funnel of three steps": (200, 2000), "retention of 8 weeks": (300, 3000),
}  # fmt: skip


def report(work: Path) -> None:
    """The tables of every set that was asked, each as its own section of RESULTS.md; the plot, if there are several."""
    known = json.loads((work / "queries.json").read_text())
    sets = sorted(known.items(), key=lambda each: each[1]["size"]["events"])
    for label, figures in sets:
        figures_of.record(f"bench/queries.py {label}", section_of(label, figures))
    if len(sets) > 1:
        plot(known)


def section_of(label: str, figures: dict[str, Any]) -> str:
    size, aim = figures["size"], {"10M": 0, "100M": 1}.get(label)
    rivals = [rival for rival in RIVALS if rival in figures]
    recompressed = figures.get("recompressed", {})
    heads = [
        "question",
        "median ms",
        "p95",
        "cold",
        "aim",
        "",
        "learnt",
        "aim met",
        *(["recompressed"] if recompressed else []),
        *(RIVALS[rival] for rival in rivals),
    ]
    rows: list[list[str]] = []
    for name, row in figures["questions"].items():
        if name.endswith(AFTER):
            continue
        wanted = AIMS[name][aim] if aim is not None and name in AIMS else None
        learnt = figures["questions"].get(name + AFTER, {})
        beside = [figures[rival]["questions"].get(name, {}) for rival in rivals]
        rows.append(
            [
                name, _shown(row), str(row.get("p95", "")), str(figures.get("cold", {}).get(name, "")),
                "" if wanted is None else str(wanted), _met(row, wanted), _shown(learnt), _met(learnt, wanted),
                *([_shown(recompressed["questions"].get(name, {}))] if recompressed else []),
                *map(_shown, beside),
            ]
        )  # fmt: skip
    columns = ", ".join(f"{name} {each}" for name, each in size["columns"].items())
    return "\n".join(
        [
            f"### Queries over {label} events", "", figures_of.machine(), "",
            f"{size['bytes_per_event']} bytes an event, {size['parts']} parts, peak RSS {size['peak_rss_mb']} MB while asking, "
            f"{size['peak_rss_building_mb']} MB while building"
            + "".join(f"; {RIVALS[rival]} {figures[rival]['bytes_per_event']} bytes an event" for rival in rivals)
            + f". Learning took {size['seconds_to_learn']} s and {size['bytes_of_own_columns']} bytes an event."
            + _of_recompressed(recompressed.get("size")), "",
            figures_of.table(heads, rows), "",
            f"Bytes an event: {columns}.",
        ]
    )  # fmt: skip


def _of_recompressed(size: dict[str, Any] | None) -> str:
    if size is None:
        return ""
    return (
        f" Recompressed: {size['bytes_per_event']} bytes an event, {size['parts']} parts, after {size['seconds_to_recompress']} s "
        f"({size['processor_s_to_recompress']} s of a processor)."
    )


def _met(row: dict[str, Any], wanted: int | None) -> str:
    return "" if wanted is None or not row else "met" if row.get("median", 1e9) <= wanted else "missed"


def _shown(row: dict[str, Any]) -> str:
    return str(row.get("median", row.get("error", "")))


def plot(known: dict[str, Any]) -> None:
    """Medians over the number of events, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sets = sorted((figures["size"]["events"], figures["questions"]) for figures in known.values())
    figure, axes = plt.subplots(figsize=(11, 6))
    axes.set_prop_cycle(color=mpl.colormaps["tab20"].colors)
    for name in AIMS:
        points = [(events, found[name]["median"]) for events, found in sets if "median" in found.get(name, {})]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="events", ylabel="median, ms", title="Queries as the store grows")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(HERE / "queries.png", dpi=110)
