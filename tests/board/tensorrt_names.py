"""Print, as JSON, what edgekd reads of the bindings of one TensorRT, and what of it that version lacks.

What the bindings say of themselves, the classes and the signatures in their docstrings, tells what each
expression of ``edgekd/board/tensorrt.py`` is, and so which class has to have the names that are read of it.
"""

import ast
import ctypes
import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

BINDINGS = {"trt", "self.trt", "self._trt"}
UNNAMED = {"IParserError": "ParserError"}  # signatures call it by a name of C++

Found = tuple[bool, Any]
"""Whether it is an object of a class, and the class; or what else the bindings hold."""


class Reader:
    """Follows TensorRT's objects through a module.

    Args:
        trt: The bindings.
        source: The module's text.
    """

    def __init__(self, trt: ModuleType, source: str) -> None:
        self.trt, self.tree = trt, ast.parse(source)
        self.known: dict[str, Found] = {}
        self.read: set[str] = set()
        self.lacking: set[str] = set()
        self.deprecated: set[str] = set()
        functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        self.functions = {node.name: [argument.arg for argument in node.args.args] for node in functions}

    def follow(self) -> None:
        """Learn what names stand for until nothing new is learnt."""
        before = -1
        while before < len(self.known):
            before = len(self.known)
            for node in ast.walk(self.tree):
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self._bind(target, node.value)
                elif isinstance(node, ast.ClassDef):
                    self._overridden(node)
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    for name, value in zip(self.functions.get(node.func.id, ()), node.args, strict=False):
                        self._bind(ast.Name(name), value)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.expr):
                self.find(node)

    def find(self, node: ast.expr) -> Found | None:
        """Return what of TensorRT an expression is; None if nothing."""
        text = ast.unparse(node)
        if text in BINDINGS:
            return False, self.trt
        if text in self.known:
            return self.known[text]
        if isinstance(node, ast.IfExp):
            return self.find(node.body) or self.find(node.orelse)
        if isinstance(node, ast.Attribute):
            owner = self.find(node.value)
            return None if owner is None else self._attribute(owner, node.attr)
        return self._called(node) if isinstance(node, ast.Call) else None

    def _called(self, node: ast.Call) -> Found | None:
        called = self.find(node.func)
        if called is None:
            return None
        instance, what = called
        if not instance and isinstance(what, type):
            return True, what
        for keyword in node.keywords:
            name = f"{ast.unparse(node.func)}({keyword.arg}=)"
            self.read.add(name)
            if f"{keyword.arg}: " not in (what.__doc__ or ""):
                self.lacking.add(name)
        return self._returned(what)

    def _attribute(self, owner: Found, name: str) -> Found | None:
        instance, of = owner
        if not (instance or isinstance(of, type | ModuleType)):
            return None  # a function
        path = f"{'trt' if of is self.trt else of.__qualname__}.{name}"
        self.read.add(path)
        if not hasattr(of, name):
            self.lacking.add(path)
            return None
        value = getattr(of, name)
        said = str(value.__doc__)
        if isinstance(value, type) and hasattr(
            value, "__members__"
        ):  # it has a docstring with its members, a line for each
            said = ""
        elif hasattr(of, "__members__"):
            said = "".join(re.findall(rf"(?m)^ *{name} : .*", said))
        if "deprecated" in said.lower():
            self.deprecated.add(path)
        return self._returned(value.fget) if isinstance(value, property) else (False, value)

    def _returned(self, function: Any) -> Found | None:
        kinds = Counter(re.findall(r"-> (?:\w+(?:\.|::))+(\w+)$", function.__doc__ or "", re.MULTILINE))
        (kind,) = kinds or ("",)
        found = getattr(self.trt, UNNAMED.get(kind, kind), None)
        return (True, found) if isinstance(found, type) else None

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._bind(one, other)
            return
        found, text = self.find(value), ast.unparse(target)
        is_property = isinstance(target, ast.Attribute) and ast.unparse(target.value) != "self"
        if found is None or text in BINDINGS or is_property:
            return
        if self.known.setdefault(text, found) != found:
            message = f"{text} is both {self.known[text]} and {found}: give one of them another name"
            raise ValueError(message)

    def _overridden(self, node: ast.ClassDef) -> None:
        for base in filter(None, map(self.find, node.bases)):
            for method in (child for child in node.body if isinstance(child, ast.FunctionDef)):
                self._attribute(base, method.name)


def bindings(where: str) -> ModuleType:
    """Import bindings: TensorRT-RTX as edgekd does, or those in a folder, over libraries that do nothing."""
    if where == "tensorrt_rtx":
        found: ModuleType = importlib.import_module("edgekd.board.tensorrt_rtx").RUNTIME.trt
        return found
    for library in sys.argv[2:]:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, where)
    return importlib.import_module("tensorrt_bindings")


def main() -> None:
    """Print it."""
    trt = bindings(sys.argv[1])
    board = importlib.import_module("edgekd.board.tensorrt")
    reader = Reader(trt, Path(board.__file__).read_text())
    reader.follow()
    sys.modules["tensorrt"] = trt
    refusal = ""
    if sys.argv[2:]:
        try:
            board.RUNTIME.build("model.onnx", {"largest_batch": 1}, b"")
        except board.RuntimeRefusal as e:
            refusal = str(e)
    told = {name: sorted(getattr(reader, name)) for name in ("read", "lacking", "deprecated")}
    print(json.dumps({**told, "version": trt.__version__, "refusal": refusal}))


if __name__ == "__main__":
    main()
