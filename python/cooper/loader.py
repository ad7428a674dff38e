# SPDX-License-Identifier: Apache-2.0
"""
Runs the build() of one container.py, in an interpreter of its own: what `cooper build` starts as

    python3 -E loader.py --result FD [--root DIR] [--src DIR] [--platform P] [--helpers DIR]... container.py

The session is the one in DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN. stdin is taken away, and what is printed goes where it always goes.
FD gets one line of JSON:

    {"id": ID, "files": [...]}  the container, after its sync() (not with --evaluate), and the files of the repository that this process read, relative
                                to the root; the exit status is 0
    {"error": {...}}            the exit status is 1; stderr has what does not fit in there, such as a traceback of the repository's own frames

An error has "type" (the class of the exception) and "message", and where known "file" (relative to the root), "line" and "code", the line itself. For errors
of the engine this is the innermost line of the repository that asked for what failed: calls are lazy, so that is seldom where the exception was raised.

This file is run by path, and must parse with Python 3.7, to be able to say that one is too old.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# The folder of a script comes first on the path, where its files would hide modules of these names.
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]

import argparse
import asyncio
import gc
import importlib.util
import inspect
import json
import linecache
import logging
import traceback


class LoadError(Exception):
    """What is wrong with container.py itself. at: the line, where known."""

    def __init__(self, message, at=None):
        super().__init__(message)
        self.at = at


def options():
    parser = argparse.ArgumentParser(prog="loader.py", allow_abbrev=False)
    parser.add_argument("path")
    parser.add_argument("--result", type=int, required=True, metavar="FD")
    parser.add_argument("--root", help="of the repository; default: the folder of container.py")
    parser.add_argument("--src", help="folder that build() gets; default: the root")
    parser.add_argument("--helpers", action="append", default=[], metavar="DIR")
    parser.add_argument("--platform")
    parser.add_argument("--evaluate", action="store_true", help="only say which container it is: no step runs that build() does not wait for")
    opts = parser.parse_args()
    opts.path = os.path.realpath(opts.path)
    opts.root = os.path.realpath(opts.root or os.path.dirname(opts.path))
    opts.helpers = [os.path.realpath(d) for d in opts.helpers]
    return opts


class Places:
    """Which lines are the repository's own."""

    def __init__(self, opts):
        self.root = opts.root
        self.tops = [os.path.join(d, "") for d in (opts.root, *opts.helpers)]
        self.known = {opts.path: True}

    def own(self, file):
        if file not in self.known:
            self.known[file] = self.look(file)
        return self.known[file]

    def look(self, file):
        return (
            file.startswith(tuple(self.tops))
            and "/site-packages/" not in file
            and "/dist-packages/" not in file
            and not file.startswith(HERE + os.sep)
        )

    def shown(self, file):
        inside = os.path.join(self.root, "")
        return file[len(inside) :] if file.startswith(inside) else file


class Calls:
    """Remembers which lines made each call of the API, because errors come much later."""

    def __init__(self, places):
        self.places = places
        self.made = []  # field, arguments, calls before it, [(file, line), ...] from the outermost to the innermost

    def watch(self, type_):
        select = getattr(type_, "_select", None)
        if not select:
            return  # another SDK: errors then have the line where they were raised

        def remember(obj, *args, **kwargs):
            if len(args) >= 2:
                before = getattr(getattr(obj, "_ctx", None), "selections", ())
                self.made.append((args[0], [arg.value for arg in args[1]], before, self.asking(sys._getframe(1))))
            return select(obj, *args, **kwargs)

        type_._select = remember

    def asking(self, frame):
        lines = []
        while frame:
            if self.places.own(frame.f_code.co_filename):
                lines.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return tuple(reversed(lines))

    def failed(self, exc):
        """The chains of lines, usually one, that can have asked for what failed."""
        command, text = getattr(exc, "command", None), str(exc)

        def ran(field, args):
            # The command that ran may have an entrypoint before the arguments.
            return int(field == "withExec" and bool(args[0]) and command[-len(args[0]) :] == args[0])

        def named(args):
            # Messages name what they are about: an address, a path, a tag.
            return max((len(a) for a in args if isinstance(a, str) and len(a) > 2 and a in text), default=0)

        def told(field, args, before):
            own, parts = named(args), ("directory", "file")
            if not own or field not in parts:
                return own
            # A path may be put together by several calls, of which the last is to be shown.
            return own + sum(named(earlier.args.values()) for earlier in before if earlier.name in parts)

        fits = [ran(field, args) if command else told(field, args, before) for field, args, before, _ in self.made]
        best = max(fits, default=0)
        return list(dict.fromkeys(lines for (_, _, _, lines), fit in zip(self.made, fits) if best and fit == best and lines))


def import_sdk():
    try:
        gc.disable()  # nothing that an import makes is garbage
        import dagger
        import dagger.client.base
    except ImportError as exc:
        how = f"{sys.executable} -m pip install dagger-io"
        if getattr(exc, "name", None) == "dagger":
            raise LoadError(f"container.py needs the Dagger SDK, which {sys.executable} does not have; install it with: {how}") from None
        raise LoadError(f"the Dagger SDK cannot be imported ({exc}); try: {how}") from None
    finally:
        gc.enable()
        gc.freeze()
    return dagger


def import_container(opts):
    sys.path[:0] = opts.helpers
    sys.path.append(os.path.dirname(HERE))
    spec = importlib.util.spec_from_file_location("container", opts.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["container"] = module
    spec.loader.exec_module(module)
    return module


def check(module, opts):
    """build(), and the keyword arguments for it besides the first."""
    version = getattr(module, "VERSION", None)
    if not isinstance(version, str) or not version:
        raise LoadError('container.py has no VERSION: write VERSION = "1.0.0", or whichever it is, at the top')
    build = getattr(module, "build", None)
    if not callable(build):
        raise LoadError("container.py has no build function: write async def build(src: dagger.Directory) -> dagger.Container")
    code = getattr(inspect.unwrap(build), "__code__", None)
    at = (code.co_filename, code.co_firstlineno) if code else None
    import dagger

    extra = {}
    signature = inspect.signature(build)
    if opts.platform and "platform" in list(signature.parameters)[1:]:
        extra["platform"] = dagger.Platform(opts.platform)
    try:
        signature.bind(None, **extra)
    except TypeError as exc:
        raise LoadError(f"build{signature} cannot be called with the sources alone ({exc}): write build(src)", at) from None
    return build, extra, at


async def run(build, extra, at, opts):
    import dagger

    # Before there are calls side by side: the SDK's own connecting, at the first of them, is not made for that.
    await dagger.connect()
    result = build(dagger.dag.host().directory(opts.src or opts.root), **extra)
    # A container can be awaited too, which is not what is meant here.
    if not isinstance(result, dagger.Container) and inspect.isawaitable(result):
        result = await result
    if not isinstance(result, dagger.Container):
        raise LoadError(f"build() returned {type(result).__name__}, not a dagger.Container", at)
    if opts.evaluate:
        return await result.id()
    synced = await result.sync()
    return await synced.id()


def watch_reads(root):
    """The set that gets each file below root that this process opens from now on: modules, and what they read."""
    inside, seen = os.path.join(root, ""), set()

    def hook(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(args[0]))
            if path.startswith(inside) and "__pycache__" not in path:
                seen.add(path[len(inside) :])

    sys.addaudithook(hook)
    return seen


def own_traceback(exc, places):
    """Without the frames of others, and without causes that have no others than those."""
    told = traceback.TracebackException.from_exception(exc)

    def trim(one):
        kept = [f for f in one.stack if places.own(f.filename)]
        for frame in kept:
            frame.line  # read while the name is that of the file
            frame.filename = places.shown(frame.filename)
        one.stack = traceback.StackSummary.from_list(kept)
        if getattr(one, "filename", None):  # a SyntaxError
            one.filename = places.shown(one.filename)
        for way in ("__cause__", "__context__"):
            other = getattr(one, way, None)
            if other and not trim(other):
                setattr(one, way, None)
        for other in getattr(one, "exceptions", None) or []:
            trim(other)
        return bool(kept)

    trim(told)
    return "".join(told.format())


def where(exc, calls, engine):
    """The chains of lines that can have led to it; the innermost line is the last of a chain."""
    if isinstance(exc, LoadError):
        return [(exc.at,)] if exc.at else []
    if isinstance(exc, SyntaxError) and exc.filename and exc.lineno:
        return [((exc.filename, exc.lineno),)]
    asked = calls.failed(exc) if engine else []
    raised = tuple((f.filename, f.lineno) for f in traceback.extract_tb(exc.__traceback__) if calls.places.own(f.filename))
    return asked or ([raised] if raised else [])


class SdkLog(logging.Handler):
    """The SDK logs, with all of its frames, what it raises anyway; only why it could not build a query stands nowhere else."""

    why = ""

    def emit(self, record):
        if record.exc_info and record.exc_info[1]:
            SdkLog.why = str(record.exc_info[1])


def described(exc):
    if isinstance(exc, SyntaxError):
        return exc.msg  # without the file and line, which stand elsewhere
    if type(exc).__name__ == "InvalidQueryError" and SdkLog.why:
        return f"{exc} ({SdkLog.why})"
    return str(exc)


def report(exc, calls, engine):
    """What the result line says. stderr gets what does not fit in there: several lines, or a traceback."""
    places = calls.places
    chains = [[(places.shown(f), n, linecache.getline(f, n).strip()) for f, n in lines] for lines in where(exc, calls, engine)]
    if engine and sum(map(len, chains)) > 1:
        asked = ["".join("  {}, line {}\n    {}\n".format(*line) for line in chain) for chain in chains]
        sys.stderr.write("asked for by\n" + "or by\n".join(asked))
    elif not engine and not isinstance(exc, LoadError):
        sys.stderr.write(own_traceback(exc, places))
    error = {"type": type(exc).__name__, "message": described(exc)}
    if chains:
        error.update(zip(("file", "line", "code"), chains[0][-1]))
    return error


def attempt(opts, calls):
    """The result, and the exit status."""
    engine_errors = ()
    try:
        if sys.version_info < (3, 10):
            raise LoadError("container.py needs Python 3.10 or newer; {} is {}.{}".format(sys.executable, *sys.version_info[:2]))
        dagger = import_sdk()
        engine_errors = dagger.DaggerError
        sys.dont_write_bytecode = True  # not beside the sources
        calls.watch(dagger.client.base.Type)
        read = watch_reads(opts.root)
        build, extra, at = check(import_container(opts), opts)
        made = asyncio.run(run(build, extra, at, opts))
        return {"id": made, "files": sorted(read)}, 0
    except KeyboardInterrupt:
        return {"error": {"type": "KeyboardInterrupt", "message": "interrupted"}}, 130
    except BaseException as exc:
        if isinstance(exc, SystemExit):
            exc = LoadError(f"container.py ended the interpreter: exit status {exc.code}")
        return {"error": report(exc, calls, isinstance(exc, engine_errors))}, 1


def main():
    opts = options()
    os.set_inheritable(opts.result, False)
    with open(os.devnull) as null:
        os.dup2(null.fileno(), 0)
    for name in [n for n in os.environ if n.startswith("PYTHON")]:
        del os.environ[name]
    logging.getLogger("dagger").addHandler(SdkLog(logging.ERROR))
    logging.getLogger("dagger").propagate = False
    result, status = attempt(opts, Calls(Places(opts)))
    with open(opts.result, "w", encoding="utf-8") as line:
        line.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # The modules' own clean-up takes as long as a tenth of their import, for nothing.
    os._exit(status)


if __name__ == "__main__":
    main()
