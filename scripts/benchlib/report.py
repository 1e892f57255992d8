# SPDX-License-Identifier: GPL-2.0-or-later
"""Results: one dictionary per case, a table for people."""

import json
import operator
import statistics

_COMPARE = {">=": operator.ge, "<=": operator.le}


def quartiles(runs):
    """The three quartiles of some values; of a single one three times that."""
    if len(runs) == 1:
        return [runs[0]] * 3
    return statistics.quantiles(runs, n=4, method="inclusive")


def result(name, conditions, a_runs, b_runs, unit, target=None):
    """One case.

    a_runs: the values of the baseline, None if there is nothing to compare with; b_runs:
    those of what the name says; target: None, or words like "ratio >= 0.95" (of the
    medians, b / a) or "value >= 24" (b's median).
    """
    a = statistics.median(a_runs) if a_runs else None
    b = statistics.median(b_runs)
    ratio = b / a if a else None
    passed = None
    if target:
        what, compare, goal = target.split()
        passed = _COMPARE[compare](ratio if what == "ratio" else b, float(goal))
    return {"name": name, "conditions": conditions, "a": a, "b": b, "unit": unit,
            "ratio": ratio, "target": target, "passed": passed,
            "quartiles": {"a": quartiles(a_runs) if a_runs else None,
                          "b": quartiles(b_runs)},
            "runs": {"a": a_runs, "b": b_runs}}


def _number(value):
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def _spread(values):
    return f"{_number(values[0])}..{_number(values[2])}" if values else "-"


def print_table(results):
    """One line per case; the conditions of a group of cases come before it."""
    rows = [("case", "baseline", "quartiles", "measured", "quartiles", "ratio", "target",
             "", "unit")]
    rows += [(one["name"], _number(one["a"]), _spread(one["quartiles"]["a"]),
              _number(one["b"]), _spread(one["quartiles"]["b"]),
              f"{one['ratio']:.2f}" if one["ratio"] is not None else "-",
              one["target"] or "-",
              {True: "pass", False: "FAIL", None: ""}[one["passed"]], one["unit"])
             for one in results]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:6], widths[1:6])]
        cells += [cell.ljust(width) for cell, width in zip(row[6:], widths[6:])]
        return "  ".join(cells).rstrip()

    print("\n" + line(rows[0]))
    said = None
    for one, row in zip(results, rows[1:]):
        if one["conditions"] != said:
            said = one["conditions"]
            print("  " + ", ".join(f"{key} {value}" for key, value in said.items()))
        print(line(row))


def write_json(results, path):
    """All of it, single values included."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
