#!/usr/bin/env python3
"""dashboard.py DASHBOARD METRICS: writes a file for `promtool test rules` that asks every query of a dashboard of METRICS.

METRICS is what the operator serves, a list of input series: a query that names a metric or a label value which is not
there has no answer, and one without the labels of its legend would be drawn as one line.
"""

import json
import re
import sys

VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def queries(panels):
    """Each query with its legend."""
    for panel in panels:
        yield from queries(panel.get("panels", []))
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            yield panel["title"], expr, target.get("legendFormat", "")


def asked(expr, legend):
    """The query as tests: it answers, and each of its answers has the labels of the legend."""
    yield {"expr": f"group({expr})", "eval_time": "2h", "exp_samples": [{"labels": "{}", "value": 1}]}
    for label in re.findall(r"{{\s*(\w+)\s*}}", legend):
        marked = f'group by (has) (label_replace({expr}, "has", "{label}", "{label}", ".+"))'
        labels = f'{{has="{label}"}}'
        yield {"expr": marked, "eval_time": "2h", "exp_samples": [{"labels": labels, "value": 1}]}


def main():
    dashboard, metrics = sys.argv[1:]
    with open(dashboard, encoding="utf-8") as file:
        board = json.load(file)
    for panel in board["panels"]:
        missing = [key for key in ("title", "description", "fieldConfig") if not panel.get(key)]
        if missing or not panel["fieldConfig"]["defaults"].get("unit"):
            sys.exit(f"{dashboard}: the panel {panel.get('title')!r} lacks {missing or ['unit']}")
    with open(metrics, encoding="utf-8") as file:
        series = json.load(file)
    tests = [
        {"name": title, "interval": "1m", "input_series": series, "promql_expr_test": list(asked(expr, legend))}
        for title, expr, legend in queries(board["panels"])
    ]
    # JSON is YAML.
    json.dump({"evaluation_interval": "1m", "tests": tests}, sys.stdout)


main()
