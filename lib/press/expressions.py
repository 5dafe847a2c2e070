"""The small language of verdicts: comparisons and arithmetic over `value` and `reported`, parsed, never executed.

Numbers, texts, lists and mappings; `+ - * / // % **`, comparisons, `and or not`, `in`, subscripts and the functions
of `FUNCTIONS`. Lists compare element by element, so close them with `all(...)` or `any(...)`.
"""

from __future__ import annotations

import ast
import operator
from typing import Any

from lib.errors import BookError

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


def close(value: Any, reported: Any, tolerance: float) -> bool:
    """Whether every number differs from its reported twin by at most `tolerance`; mappings go by reported's keys."""
    if isinstance(reported, dict):
        return all(key in value and close(value[key], reported[key], tolerance) for key in reported)
    if isinstance(reported, (list, tuple)):
        return len(value) == len(reported) and all(close(a, b, tolerance) for a, b in zip(value, reported, strict=True))
    if reported is None:
        return True  # the post left this cell empty
    return abs(value - reported) <= tolerance + 1e-12


def same_order(value: Any, reported: Any) -> bool:
    """Whether two mappings or lists sort their entries alike."""
    keys = list(reported) if isinstance(reported, dict) else range(len(reported))
    keys = [key for key in keys if reported[key] is not None]
    return sorted(keys, key=lambda k: value[k]) == sorted(keys, key=lambda k: reported[k])


def same_sign(value: Any, reported: Any) -> bool:
    """Whether every number has the sign of its reported twin."""
    keys = list(reported) if isinstance(reported, dict) else range(len(reported))
    return all((value[key] > 0) == (reported[key] > 0) for key in keys if reported[key] is not None)


def values(mapping: dict[str, Any]) -> list[Any]:
    """The values of a mapping, for `all(values(value) > 1)`."""
    return list(mapping.values())


FUNCTIONS = {
    "abs": abs,
    "close": close,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "same_order": same_order,
    "same_sign": same_sign,
    "sorted": sorted,
    "sum": sum,
    "values": values,
}


def evaluate(text: str, names: dict[str, Any]) -> Any:
    """The value of an expression; raises BookError naming the part that the language does not have."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        raise BookError(f"expression {text!r} cannot be read; write one Python expression") from None
    try:
        return _Evaluator(text, names).of(tree.body)
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        raise BookError(f"expression {text!r} fails on the value at hand: {error}") from None


def truth(text: str, names: dict[str, Any]) -> bool:
    """Whether an expression is true; raises BookError when its result is not one truth value."""
    result = evaluate(text, names)
    if not isinstance(result, bool):
        raise BookError(f"expression {text!r} gives {result!r}, not true or false; close lists with all() or any()")
    return result


class _Evaluator:
    def __init__(self, text: str, names: dict[str, Any]):
        self.text, self.names = text, names

    def of(self, node: ast.AST) -> Any:
        method = getattr(self, type(node).__name__.lower(), None)
        if method is None:
            raise BookError(f"expression {self.text!r} uses {type(node).__name__}, which verdicts do not have")
        return method(node)

    def constant(self, node: ast.Constant) -> Any:
        return node.value

    def name(self, node: ast.Name) -> Any:
        if node.id not in self.names:
            raise BookError(f"expression {self.text!r} names {node.id!r}; it may name {', '.join(self.names)}")
        return self.names[node.id]

    def list(self, node: ast.List) -> Any:
        return [self.of(item) for item in node.elts]

    def tuple(self, node: ast.Tuple) -> Any:
        return [self.of(item) for item in node.elts]

    def subscript(self, node: ast.Subscript) -> Any:
        return self.of(node.value)[self.of(node.slice)]

    def unaryop(self, node: ast.UnaryOp) -> Any:
        return _each(_UNARY[type(node.op)], self.of(node.operand)) if type(node.op) in _UNARY else self.refuse(node.op)

    def binop(self, node: ast.BinOp) -> Any:
        if type(node.op) not in _BINARY:
            return self.refuse(node.op)
        return _pairwise(_BINARY[type(node.op)], self.of(node.left), self.of(node.right))

    def boolop(self, node: ast.BoolOp) -> bool:
        results = (self.of(part) for part in node.values)
        return all(results) if isinstance(node.op, ast.And) else any(results)

    def compare(self, node: ast.Compare) -> Any:
        left, outcome = self.of(node.left), True
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.of(comparator)
            if isinstance(op, (ast.In, ast.NotIn)):
                step: Any = (left in right) == isinstance(op, ast.In)
            elif isinstance(op, (ast.Eq, ast.NotEq)):
                step = _COMPARE[type(op)](left, right)  # whole lists and mappings
            elif type(op) in _COMPARE:
                step = _pairwise(_COMPARE[type(op)], left, right)
            else:
                return self.refuse(op)
            outcome = _pairwise(lambda a, b: bool(a and b), outcome, step)
            left = right
        return outcome

    def call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if node.keywords or name not in {*FUNCTIONS, "all", "any"}:
            raise BookError(
                f"expression {self.text!r} calls {name or 'something'!r}; it may call {', '.join(FUNCTIONS)}"
            )
        arguments = [self.of(argument) for argument in node.args]
        if name in {"all", "any"}:
            flags = list(_flat(arguments))
            if not flags:
                raise BookError(f"expression {self.text!r}: {name}() over nothing decides nothing")
            return all(flags) if name == "all" else any(flags)
        return FUNCTIONS[name](*arguments)

    def refuse(self, op: ast.AST) -> Any:
        raise BookError(f"expression {self.text!r} uses {type(op).__name__}, which verdicts do not have")


def _pairwise(function: Any, left: Any, right: Any) -> Any:
    if isinstance(left, list) and isinstance(right, list):
        return [_pairwise(function, a, b) for a, b in zip(left, right, strict=True)]
    if isinstance(left, list):
        return [_pairwise(function, item, right) for item in left]
    if isinstance(right, list):
        return [_pairwise(function, left, item) for item in right]
    return function(left, right)


def _each(function: Any, value: Any) -> Any:
    return [_each(function, item) for item in value] if isinstance(value, list) else function(value)


def _flat(items: Any) -> Any:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item
