"""Makes pictures of charts, in a process of its own: reads a line of JSON, and answers with another.

The engine that draws (Vega, in vl-convert) takes three quarters of a second to start, and holds the
interpreter's lock meanwhile. So this runs beside the command, from the command's beginning on, and is warm
when the command has something to draw. It is run as a file, and imports nothing of enc.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

_SMALL = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x"}}}


def main() -> None:
    """Warm up, and answer requests until there are no more."""
    import vl_convert

    vl_convert.vegalite_to_svg(_SMALL)
    for line in sys.stdin:
        try:
            answer = _answer(vl_convert, json.loads(line))
        except Exception as error:  # the one who asked decides what becomes of the chart
            answer = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(vl_convert: Any, request: dict[str, Any]) -> dict[str, Any]:
    if "spec" in request:
        return {"svg": vl_convert.vegalite_to_svg(request["spec"], allowed_base_urls=[])}
    folder = Path(request["runtime_folder"])
    path = folder / f"vega-{vl_convert.get_vega_version()}-{vl_convert.get_vega_embed_version()}.js"
    if not path.is_file():  # making it takes two seconds
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(vl_convert.javascript_bundle(), encoding="utf-8")
        part.replace(path)
    return {"path": str(path)}


if __name__ == "__main__":
    main()
