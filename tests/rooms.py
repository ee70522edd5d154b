"""The rooms and the arrows between them, read off the code: `make rooms` draws them into CONTRIBUTING.md."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "cli", "engine", "pages", "store")
BEGIN, END = "<!-- rooms: made by `make rooms` -->", "<!-- end of rooms -->"


def modules(root: Path = ROOT) -> list[Path]:
    """All modules of the package."""
    return [
        root / "__init__.py",
        *(path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))),
    ]


def room_of(module: tuple[str, ...], root: Path = ROOT) -> str:
    """The room of a module, given by its path from the root: ``engine.heads`` of engine/heads/labels."""
    if not module or not (root / module[0]).is_dir():
        return "enc"
    if module[0] == "engine" and len(module) > 1 and (root / "engine" / module[1]).is_dir():
        return f"engine.{module[1]}"
    return module[0]


def imported_rooms(path: Path, root: Path = ROOT) -> set[str]:
    """Rooms that a module imports from, wherever in it the import stands."""
    place, rooms = path.relative_to(root).with_suffix("").parts, set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            origin = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                origin = (*place[: len(place) - node.level], *origin)
            elif origin[0] == "enc":
                origin = origin[1:]
            else:
                continue
            rooms |= {room_of((*origin, name.name), root) for name in node.names}
        elif isinstance(node, ast.Import):
            names = [tuple(name.name.split(".")) for name in node.names]
            rooms |= {room_of(name[1:], root) for name in names if name[0] == "enc"}
    return rooms


def diagram() -> str:
    """The arrows as a Mermaid diagram; an arrow that follows from others is left out."""
    arrows: dict[str, set[str]] = {}
    for path in modules():
        room = room_of(path.relative_to(ROOT).with_suffix("").parts)
        arrows.setdefault(room, set()).update(imported_rooms(path) - {room})
    lines = ["```mermaid", "graph TD"]
    for room in sorted(arrows):
        indirect = {far for near in arrows[room] for far in _reached(near, arrows)}
        lines += [f"    {room} --> {other}" for other in sorted(arrows[room] - indirect)]
    return "\n".join([*lines, "```"])


def _reached(room: str, arrows: dict[str, set[str]]) -> set[str]:
    found, waiting = set(), list(arrows.get(room, ()))
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += arrows.get(other, ())
    return found


def drawn(text: str) -> str:
    """The text of CONTRIBUTING.md with the diagram as it is today."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    page = ROOT / "CONTRIBUTING.md"
    page.write_text(drawn(page.read_text(encoding="utf-8")), encoding="utf-8")
