"""Write the manifest that comes with the project, so that no installation has to wait for dbt (``make manifest``)."""

from __future__ import annotations

import json
from typing import Any

from engage_etl.marts.project import manifest_name, parse_project, shipped_manifests


def ship_manifest() -> None:
    """Write it, in place of the former one."""
    folder = shipped_manifests()
    folder.mkdir(exist_ok=True)
    file = folder / manifest_name()
    parse_project(folder, file)
    nodes: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    file.write_text(json.dumps({"nodes": {id_: _shortened(node) for id_, node in nodes.items()}}, indent=1) + "\n")


def _shortened(node: dict[str, Any]) -> dict[str, Any]:
    """What ``read_lineage`` reads of a node; all of them have half a megabyte, and paths of the machine."""
    kept = ("resource_type", "name", "description", "schema", "alias", "attached_node")
    short = {name: node[name] for name in kept if node.get(name) is not None}
    columns = {name: {"description": column["description"]} for name, column in node["columns"].items()}
    only_warns = (node["config"].get("meta") or {}).get("only_warns")
    return {
        **short,
        "columns": columns,
        "depends_on": {"nodes": node["depends_on"]["nodes"]},
        "config": {} if only_warns is None else {"meta": {"only_warns": only_warns}},
    }


if __name__ == "__main__":
    ship_manifest()
