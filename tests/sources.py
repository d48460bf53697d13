"""
The package's own source, as syntax trees: what test_imports.py and test_ambient.py look at.

A tree is read, never imported, so that what stands in a function or under ``TYPE_CHECKING`` is seen as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Each module below a top-level package, by its dotted name, with its syntax tree."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text(), str(path))


def imported(module: str, tree: ast.Module, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """
    What a module imports, as dotted names with their lines.

    ``from a.b import c`` gives ``a.b.c``, whether c is a module or something in one; relative names are resolved.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                origin = ".".join([*parents, origin] if origin else parents)
            for alias in node.names:
                yield f"{origin}.{alias.name}", node.lineno


def known_names(tree: ast.Module) -> dict[str, str]:
    """The names that imports bind anywhere in a module, and the dotted name of what each stands for."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                known[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def dotted(node: ast.expr, known: dict[str, str]) -> str | None:
    """The dotted name that an expression such as ``a.b.c`` stands for; None where it does not begin at an import."""
    if isinstance(node, ast.Attribute):
        left = dotted(node.value, known)
        return None if left is None else f"{left}.{node.attr}"
    return known.get(node.id) if isinstance(node, ast.Name) else None


def is_within(name: str, package: str) -> bool:
    """Whether a dotted name is the package's own or something in it."""
    return name == package or name.startswith(package + ".")
