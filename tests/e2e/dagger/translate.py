# SPDX-License-Identifier: Apache-2.0
"""
Snippets are written once, in Python, and run in the Python SDKs as they stand. For the TypeScript SDK this turns them into JavaScript, by the rules that
its own generator follows: camelCase names, keyword arguments in one object at the end, enum members in PascalCase, inputs as plain objects.

Only what snippets need is known: assignments, await, for, if, return, calls, lists, dicts, comparisons, f-strings and list comprehensions.
"""

import ast
import json

# Names that the TypeScript SDK spells in its own way.
METHODS = {
    "from_": "from",
    "import_": "import_",
    "as_json": "asJSON",
    "namespace": "namespace_",
    "trace_url": "traceURL",
    "experimental_with_all_gp_us": "experimentalWithAllGPUs",
}
MEMBERS = {"OCIMediaTypes": "Oci", "DockerMediaTypes": "Docker"}
# Constructors of scalars: in TypeScript the string itself.
SCALARS = ("Platform", "JSON")
INPUTS = {"BuildArg": ("name", "value"), "PortForward": ("backend", "frontend", "protocol")}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Eq: "===", ast.NotEq: "!==", ast.Lt: "<", ast.Gt: ">"}


def camel(name):
    if name in METHODS:
        return METHODS[name]
    first, *rest = name.rstrip("_").split("_")
    whole = first + "".join(part.capitalize() for part in rest)
    return whole[:-2] + "ID" if whole.endswith("FromId") else whole


def member(name):
    return MEMBERS.get(name) or "".join(part.capitalize() for part in name.split("_"))


def javascript(code):
    """The body of an async function."""
    tree = ast.parse("async def snippet():\n" + "\n".join("    " + line for line in code.splitlines()))
    body = tree.body[0].body
    names = sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)})
    head = [f"let {', '.join(names)};"] if names else []
    return "\n".join(head + [statement(s) for s in body])


def block(statements):
    return "{ " + " ".join(statement(s) for s in statements) + " }"


def statement(node):
    match node:
        case ast.Return(value=None):
            return "return null;"
        case ast.Return(value=value):
            return f"return {expression(value)};"
        case ast.Assign(targets=[target], value=value):
            return f"{expression(target)} = {expression(value)};"
        case ast.Expr(value=value):
            return f"{expression(value)};"
        case ast.For(target=target, iter=sequence, body=body):
            return f"for ({expression(target)} of {expression(sequence)}) {block(body)}"
        case ast.If(test=test, body=body, orelse=orelse):
            return f"if ({expression(test)}) {block(body)}" + (f" else {block(orelse)}" if orelse else "")
    raise NotImplementedError(ast.dump(node))


def expression(node):
    match node:
        case ast.Constant(value=value):
            return json.dumps(value)
        case ast.Name(id=name):
            return name
        case ast.Await(value=value):
            return f"(await {expression(value)})"
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            return "[" + ", ".join(element(e) for e in elts) + "]"
        case ast.Dict(keys=keys, values=values):
            return "{" + ", ".join(f"[{expression(k)}]: {expression(v)}" for k, v in zip(keys, values)) + "}"
        case ast.JoinedStr(values=values):
            return "(" + " + ".join(text(v) for v in values or [ast.Constant("")]) + ")"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return f"({expression(left)} {OPERATORS[type(op)]} {expression(right)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{expression(operand)}"
        case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
            return f"({expression(left)} == null)"
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
            return f"({expression(left)} {OPERATORS[type(op)]} {expression(right)})"
        case ast.Subscript(value=value, slice=index):
            return f"{expression(value)}[{expression(index)}]"
        case ast.ListComp(elt=elt, generators=[ast.comprehension(target=target, iter=sequence, ifs=[])]):
            waits = any(isinstance(n, ast.Await) for n in ast.walk(elt))
            if waits:
                return f"(await in_order({expression(sequence)}, async ({expression(target)}) => {expression(elt)}))"
            return f"{expression(sequence)}.map(({expression(target)}) => {expression(elt)})"
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="dagger"), attr=enum), attr=name):
            return f"dagger.{enum}.{member(name)}"
        case ast.Attribute(value=value, attr=name):
            return f"{expression(value)}.{camel(name)}"
        case ast.Call():
            return call(node)
    raise NotImplementedError(ast.dump(node))


def element(node):
    return f"...{expression(node.value)}" if isinstance(node, ast.Starred) else expression(node)


def text(node):
    if isinstance(node, ast.FormattedValue):
        return f"String({expression(node.value)})"
    return json.dumps(node.value)


def call(node):
    args = [element(a) for a in node.args]
    named = {k.arg: expression(k.value) for k in node.keywords}
    match node.func:
        case ast.Attribute(value=ast.Name(id="dagger"), attr=name) if name in SCALARS or name.endswith("ID"):
            return args[0]
        case ast.Attribute(value=ast.Name(id="dagger"), attr=name) if name in INPUTS:
            fields = {**dict(zip(INPUTS[name], args)), **named}
            return "{" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}"
    if named:
        args.append("{" + ", ".join(f"{camel(k)}: {v}" for k, v in named.items()) + "}")
    return f"{expression(node.func)}({', '.join(args)})"
