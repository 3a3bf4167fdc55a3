"""Templates in values: `{{ PatientID | upper }}`, sandboxed, strict and bounded.

The only door to Jinja2. A template names DICOM keywords and the few facts of NAMES; it has the
filters of FILTERS, conditions and `~`, and nothing else: no loop, macro, call, import,
index or arithmetic that could multiply text is let through the check of its syntax tree, and the
immutable sandbox stands behind that. Mistakes are PlugErrors that point at the character.
Rendering raises MorphFailed, with no value in its message.
"""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Callable
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.lexer import ignored_tokens
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import suggestions, tag_for
from router.errors import MorphFailed
from router.model.path import Path, PathStep
from router.model.plug import PlugError
from router.morph.context import MorphContext
from router.morph.filters import FILTERS as TEXT_FILTERS
from router.morph.filters import FilterError, finish

MAX_TEMPLATE: Final = 1024
MAX_OUTPUT: Final = 1024
MAX_DEPTH: Final = 40
MAX_PARENTHESES: Final = 80
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "source": ("name", "calling_ae_title", "called_ae_title", "address"),
    "router": ("name", "organization"),
    "received": ("date", "time"),
}
_ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Filter,
    nodes.Keyword,
    nodes.Const,
    nodes.CondExpr,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.Test,
)
_TESTS: Final = ("defined", "undefined")
_REFUSED: Final = {
    nodes.For: "loops are",
    nodes.Macro: "macros are",
    nodes.CallBlock: "calls are",
    nodes.Call: "calls are",
    nodes.Import: "imports are",
    nodes.FromImport: "imports are",
    nodes.Include: "includes are",
    nodes.Getitem: "indexes are",
    nodes.Mul: "multiplication is",
    nodes.Pow: "** is",
    nodes.Mod: "% is",
}


def _default(value: Any, otherwise: Any = "") -> Any:
    """As the step `default`: for an attribute that is absent or has no value."""
    return otherwise if isinstance(value, Undefined) or value in {"", ()} else value


FILTERS: Final = {**TEXT_FILTERS, "default": _default}
Render = Callable[[EditableDataSet, MorphContext], str]


def is_template(text: str) -> bool:
    """Whether a value is a template: `{{` appears."""
    return "{{" in text


class _Sandbox(ImmutableSandboxedEnvironment):
    """Second line of defence: these never run, whatever the check of the tree let through."""

    intercepted_binops = frozenset({"*", "**", "%", "/", "//"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        raise FilterError(f"{operator} is not allowed in a template")


def _environment() -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined,
        finalize=finish,
        autoescape=False,
        cache_size=0,
        keep_trailing_newline=True,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.filters.update(FILTERS)
    known = {name: environment.tests[name] for name in _TESTS}
    environment.tests.clear()
    environment.tests.update(known)
    return environment


def keywords(text: str) -> tuple[str, ...]:
    """The DICOM keywords a template names. Raises PlugError when it does not compile."""
    tree, environment = _parsed(text)
    _check(tree, text, environment)
    return tuple(sorted({n.name for n in tree.find_all(nodes.Name) if n.name not in NAMES}))


def compile_template(text: str) -> Render:
    """A function that renders the template for one data set. Raises PlugError (DR213)."""
    wanted = [(name, _path(name)) for name in keywords(text)]
    template = _environment().from_string(text)

    def render(data_set: EditableDataSet, context: MorphContext) -> str:
        known: dict[str, Any] = _facts(context)
        for name, path in wanted:
            attribute = data_set.get(path)
            if attribute is not None:
                texts = tuple(str(value) for value in attribute.values)
                known[name] = texts if len(texts) > 1 else "".join(texts)
        try:
            output = template.render(known)
        except FilterError as error:
            raise MorphFailed(f"template: {error}") from None
        except TemplateError:
            # The message of Jinja2 may quote a value: it only says which name was undefined.
            missing = [name for name, _ in wanted if name not in known]
            what = f"{', '.join(missing)} absent" if missing else "a name in it is undefined"
            raise MorphFailed(f"template: {what}") from None
        except (TypeError, ValueError, ArithmeticError):
            raise MorphFailed("template: an operation does not fit its value") from None
        if len(output) > MAX_OUTPUT:
            raise MorphFailed(f"template: the result has more than {MAX_OUTPUT} characters")
        return output

    return render


def _path(keyword: str) -> Path:
    tag = tag_for(keyword)
    assert tag is not None
    return Path((PathStep(tag),), keyword)


def _facts(context: MorphContext) -> dict[str, Any]:
    source = context.source
    received = time.localtime(context.received_at)
    station = {} if source.station is None else {"name": source.station}
    return {
        "source": {
            **station,
            "calling_ae_title": source.calling_ae_title,
            "called_ae_title": source.called_ae_title,
            "address": source.address,
        },
        "router": {"name": context.router_name, "organization": context.organization},
        "received": {
            "date": time.strftime("%Y%m%d", received),
            "time": time.strftime("%H%M%S", received),
        },
    }


def _parsed(text: str) -> tuple[nodes.Template, _Sandbox]:
    environment = _environment()
    if len(text) > MAX_TEMPLATE:
        raise PlugError(f"a template has at most {MAX_TEMPLATE} characters", code="DR213")
    if text.count("(") > MAX_PARENTHESES:
        place = text.find("(")
        raise PlugError("template is nested too deeply", column_offset=place, code="DR213")
    parser = None
    try:
        parser = Parser(environment, text)
        return parser.parse(), environment
    except (TemplateSyntaxError, RecursionError) as error:
        said = error.message if isinstance(error, TemplateSyntaxError) else "nested too deeply"
        # The parser stands behind the token it could not use: what is left tells which that was.
        offset = _offset(text, environment, parser)
        raise PlugError(
            f"template does not compile: {said}", column_offset=offset, code="DR213"
        ) from None


def _tokens(text: str, environment: _Sandbox) -> list[tuple[int, str, str]]:
    """(offset, kind, text) of each token, as far as the text can be read."""
    found = []
    position = 0
    try:
        for _, kind, raw in environment.lex(text):
            found.append((position, kind, raw))
            position += len(raw)
    except TemplateSyntaxError:
        found.append((position, "fault", ""))
    return found


def _offset(text: str, environment: _Sandbox, parser: Parser | None) -> int:
    read = [token for token in _tokens(text, environment) if token[1] not in ignored_tokens]
    if read and read[-1][1] == "fault":
        return read[-1][0]
    if parser is None or not read:
        return 0
    left = 0
    while parser.stream.current.type != "eof":
        left += 1
        next(parser.stream)
    return read[-left][0] if 0 < left <= len(read) else max(0, len(text) - 1)


def _check(tree: nodes.Template, text: str, environment: _Sandbox) -> None:
    """Refuse every construct that is not on the list, and every name that cannot be known."""
    for node in _walk(tree, text):
        if isinstance(node, nodes.Name):
            if node.name not in NAMES and (tag_for(node.name) is None or node.ctx != "load"):
                raise _unknown(node.name, text, environment)
        elif isinstance(node, nodes.Getattr):
            _check_fact(node, text, environment)
        elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise _fault(f"'{node.name}' is no filter", node.name, text, environment, FILTERS)
        elif isinstance(node, nodes.Filter):
            _check_arguments(node, text, environment)
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            raise _fault(f"'{node.name}' is no test", node.name, text, environment, _TESTS)
        elif not isinstance(node, _ALLOWED):
            what = _REFUSED.get(type(node), f"{type(node).__name__.lower()} is")
            raise PlugError(
                f"{what} not allowed in a template",
                hint="filters: " + ", ".join(sorted(FILTERS)),
                code="DR213",
                column_offset=max(0, text.find("{%" if isinstance(node, nodes.Stmt) else "{{")),
            )
    for node in tree.find_all(nodes.Name):
        if node.name in NAMES and not _is_owner(node, tree):
            hint = "write " + " or ".join(f"{node.name}.{field}" for field in NAMES[node.name])
            raise _fault(
                f"'{node.name}' alone has no value", node.name, text, environment, (), hint
            )


def _walk(tree: nodes.Node, text: str) -> list[nodes.Node]:
    found = []
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            place = max(0, text.find("{{"))
            raise PlugError("template is nested too deeply", column_offset=place, code="DR213")
        found.append(node)
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())
    return found


def _check_arguments(node: nodes.Filter, text: str, environment: _Sandbox) -> None:
    message = f"wrong arguments for the filter '{node.name}'"
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise _fault(message, node.name, text, environment, ())
    given = {str(keyword.key): None for keyword in node.kwargs}
    try:
        inspect.signature(FILTERS[node.name]).bind(None, *node.args, **given)
    except TypeError:
        raise _fault(message, node.name, text, environment, ()) from None


def _is_owner(name: nodes.Name, tree: nodes.Template) -> bool:
    return any(access.node is name for access in tree.find_all(nodes.Getattr))


def _check_fact(node: nodes.Getattr, text: str, environment: _Sandbox) -> None:
    owner = node.node.name if isinstance(node.node, nodes.Name) else ""
    if owner not in NAMES:
        raise _fault(f"'.{node.attr}' is not allowed here", node.attr, text, environment, ())
    if node.attr not in NAMES[owner]:
        message = f"'{owner}.{node.attr}' is unknown"
        raise _fault(message, node.attr, text, environment, NAMES[owner])


def _unknown(name: str, text: str, environment: _Sandbox) -> PlugError:
    near = suggestions(name) or difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "DICOM keywords, source, router, received"
    message = f"'{name}' is no DICOM keyword and no fact"
    return _fault(message, name, text, environment, (), hint, code="DR210")


def _fault(
    message: str,
    word: str,
    text: str,
    environment: _Sandbox,
    allowed: Any,
    hint: str = "",
    *,
    code: str = "DR213",
) -> PlugError:
    places = [
        offset for offset, kind, raw in _tokens(text, environment) if kind == "name" and raw == word
    ]
    if allowed:
        near = difflib.get_close_matches(word, allowed, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "one of: " + ", ".join(sorted(allowed))
    return PlugError(message, hint=hint, column_offset=places[0] if places else None, code=code)
