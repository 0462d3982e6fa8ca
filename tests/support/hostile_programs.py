"""Programs that try to get out of a sandbox, to read or write what is not theirs, or to take more than they may.

`{...}` in a program stands for a canary's part. A program that succeeds says `ESCAPED`, tells what it has read in its
error, shows it in its image, or leaves something where the canary looks.

`GUARD` begins each Python program that must never run outside a sandbox: there it ends at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GUARD = "import os, sys, ctypes, time\nos.path.isdir('/sandbox/server') or os._exit(99)\nC = ctypes.CDLL(None)\n"
"""The folder is there in the sandbox only."""
SHAPE = "import turtle\nturtle.dot(200)\n"
"""A drawing, for programs whose attack is not seen in how they end."""

ESCAPED = "raise OSError('ESCAPED')"
"""Said by a program that got through."""

Verdict = Literal["refused", "run"]


@dataclass(frozen=True)
class Attack:
    """A hostile program.

    Attributes:
        name: Of the attack.
        language: What it is written in.
        code: The program.
        statuses: How it may end.
        verdict: What the policy says of it: it is `refused`, or would be `run`.
        seconds: Wall clock that it has.
    """

    name: str
    language: str
    code: str
    statuses: tuple[str, ...] = ("error",)
    verdict: Verdict = "refused"
    seconds: float = 20.0


def python(
    name: str,
    code: str,
    *statuses: str,
    guarded: bool = True,
    language: str = "turtle",
    verdict: Verdict = "refused",
    seconds: float = 20.0,
) -> Attack:
    """Return an attack in Python, which ends in an error unless said otherwise."""
    return Attack(
        name, language, (GUARD if guarded else "") + code, statuses or ("error",), verdict, seconds
    )  # fmt: skip


def claims(call: str) -> str:
    """Return a program that makes a call and says that it got through, unless the call raises or gives −1."""
    return f"if ({call}) != -1: raise RuntimeError('ESCAPED')\nraise ValueError('stopped')\n"


READS = (
    python("open", "raise RuntimeError(open('{file}').read())", guarded=False),
    python("open by os", "import os\nraise RuntimeError(os.read(os.open('{file}', 0), 99))", guarded=False),
    python("io of a class's globals", """
for kind in ().__class__.__base__.__subclasses__():
    names = getattr(getattr(kind, '__init__', None), '__globals__', dict())
    if 'open' in names.get('__builtins__', ()):
        raise RuntimeError(names['__builtins__']['open']('{file}').read())
""", guarded=False),
    python("import by parts", "raise RuntimeError(getattr(__import__('o' 's'), 'listdir')('{folder}'))", guarded=False),
    python("glob", "import glob\nraise RuntimeError(str(glob.glob('{folder}/*')) or 'none')", guarded=False),
    python("symbolic link", "os.symlink('{file}', '/tmp/link')\nraise RuntimeError(open('/tmp/link').read())"),
    python("environment of the parent", "raise RuntimeError(open('/proc/{pid}/environ').read())", guarded=False),
    python("memory of the parent", "raise RuntimeError(str(open('/proc/%d/mem' % os.getppid(), 'rb').fileno()))"),
    python("own variables", "import os\nraise RuntimeError(str(dict(os.environ)))", guarded=False),
    python("passwords", "raise RuntimeError('ESCAPED' + open('/etc/passwd').read())"),
    python("home", "raise RuntimeError('ESCAPED' + str(os.listdir('/home') + os.listdir('/root')))"),
    python("this project", "import ex2\nraise RuntimeError('ESCAPED')"),
    python("other packages", "import torch\nraise RuntimeError('ESCAPED')"),
    python("numpy.fromfile", "import numpy\nraise RuntimeError(numpy.fromfile('{file}', 'u1').tobytes())",
           guarded=False, language="matplotlib"),
    python("imread", "import matplotlib.pyplot as p\np.imshow(p.imread('{image}'))\np.show()",
           guarded=False, language="matplotlib"),
    python("style file", "import matplotlib.pyplot as p\np.style.use('{file}')\nraise OSError('ESCAPED')",
           guarded=False, language="matplotlib", verdict="run"),
    python("pickle", "import pickle\nraise RuntimeError(pickle.loads(b\"cbuiltins\\nopen\\n(S'{file}'\\ntR.\").read())",
           guarded=False),
)  # fmt: skip

WRITES = (
    python("write", "open('{folder}/owned', 'w').write('x')", guarded=False),
    python("append", "open('{file}', 'a').write('x')", guarded=False),
    python("system library", claims("os.open('/usr/lib/owned', 65)")),
    python("root folder", claims("os.open('/owned', 65)")),
    python("own package", claims("os.open('/sandbox/server/inside/server.py', 1)")),
    python("device folder", claims("os.open('/dev/owned', 65)")),
    python("temporary folder", claims("os.open('/tmp/owned', 66)")),
    python("filled temporary folder", """
for number in range(100000):
    with open('/tmp/%d' % number, 'wb') as file: file.write(bytes(1 << 20))
raise RuntimeError('ESCAPED')
"""),
    python("folders", "for n in range(10**6): os.mkdir('/tmp/%d' % n)\nraise RuntimeError('ESCAPED')"),
    python("touch by a shell", "import os\nos.system('touch {folder}/owned')\nraise ValueError('done')", guarded=False),
    python("savefig", "import matplotlib.pyplot as p\np.plot([1, 2])\np.savefig('{folder}/owned.png')", "drawn",
           guarded=False, language="matplotlib"),
    python("memory map", "import numpy\nnumpy.memmap('/tmp/m', mode='w+', shape=(1 << 32,))\nraise OSError('ESCAPED')",
           language="matplotlib"),
)  # fmt: skip

NETWORK = (
    python("connection", "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nraise OSError('ESCAPED')",
           guarded=False),
    python("address", "import urllib.request as u\nu.urlopen('http://127.0.0.1:{port}', timeout=2)", guarded=False),
    python("name service", "import socket\nsocket.getaddrinfo('example.com', 80)\nraise OSError('ESCAPED')"),
    python("datagram", "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))\n" + ESCAPED),
    python("socket by number", claims("C.syscall(41, 1, 1, 0)")),
)  # fmt: skip

PROCESSES = (
    python("fork bomb", "while True: os.fork()"),
    python("one child", "os.fork()\ntime.sleep(30)\nraise OSError('ESCAPED')"),
    python("fork by number", claims("C.syscall(57)")),
    python("clone by number", claims("C.syscall(56, 17, 0, 0, 0, 0)")),
    python("clone3 by number", claims("C.syscall(435, 0, 0)")),
    python("thread", "import threading\nthreading.Thread(target=time.sleep, args=(30,)).start()\n" + ESCAPED),
    python("sleeping child", "import subprocess\nsubprocess.Popen(['sleep', '{nap}'])\nraise OSError('ESCAPED')"),
    python("another program", "os.execv('/usr/bin/env', ['env'])"),
    python("program in memory", claims("C.syscall(319, b'x', 0)")),
    python("kill the server", claims("C.kill(os.getppid(), 9)")),
    python("kill the first process", claims("C.kill(1, 9)")),
    python("kill all", claims("C.kill(-1, 9)")),
    python("kill by number of a thread", claims("C.syscall(234, os.getppid(), os.getppid(), 9)")),
    python("trace the server", claims("C.ptrace(16, os.getppid(), 0, 0)")),
    python("read the server's memory", claims("C.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0)")),
    python("namespaces within", claims("C.unshare(0x10000000)")),
    python("mount", claims("C.mount(b'none', b'/tmp', b'tmpfs', 0, 0)")),
    python("another root", claims("C.chroot(b'/tmp')")),
    python("keys of the kernel", claims("C.syscall(250, 0, -3, 0)")),
    python("programs of the kernel", claims("C.syscall(321, 0, 0, 0)")),
    python("rings of the kernel", claims("C.syscall(425, 1, 0)")),
    python("calls of another kind", "C.syscall(0x40000000 + 39)\nraise OSError('ESCAPED')"),
    python("higher limits", "import resource as r\nr.setrlimit(r.RLIMIT_AS, (-1, -1))\nraise OSError('ESCAPED')"),
    python("shared memory", claims("C.shmget(0, 1 << 30, 0o1600)")),
    python("stop itself", SHAPE + "os.kill(os.getpid(), 19)", "timeout", seconds=1.0),
    python("kill itself", SHAPE + "os.kill(os.getpid(), 9)"),
    python("abort", "os.abort()"),
    python("bad address", "C.strlen(8)"),
)  # fmt: skip

AMOUNTS = (
    python("endless loop", "while True: pass", "timeout", guarded=False, verdict="run", seconds=1.0),
    python("loop that catches all", """
while True:
    try:
        while True: pass
    except BaseException: pass
""", "timeout", guarded=False, verdict="run", seconds=1.0),
    python("deaf to signals", "import signal\nsignal.pthread_sigmask(0, range(1, 65))\ntime.sleep(60)", "timeout",
           seconds=1.0),
    python("expression that never ends", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "timeout", seconds=1.0),
    python("array of 8 GB", "import numpy\nnumpy.ones(10**9)", "memory", guarded=False, language="matplotlib",
           verdict="run"),
    python("bytes of 8 GB", "x = bytes(8 << 30)", "memory", guarded=False, verdict="run"),
    python("list that grows", GUARD + "x = []\nwhile True: x.append(bytes(1 << 24))", "memory"),
    python("memory by number", claims("C.syscall(9, 0, 8 << 30, 3, 34, -1, 0)")),
    python("output of 1 GB", SHAPE + "for n in range(1024): print('x' * (1 << 20))", "drawn", verdict="run",
           guarded=False),
    python("errors of 64 MB", SHAPE + "for n in range(64): sys.stderr.write('x' * (1 << 20))", "drawn"),
    python("recursion", "def f(): return f()\nf()", guarded=False, verdict="run"),
    python("recursion without a limit", "sys.setrecursionlimit(10**9)\nf = lambda: f()\nf()",
           "error", "memory", "timeout", seconds=2.0),
    python("long number", "x = 9 ** 9 ** 9", "timeout", "memory", guarded=False, verdict="run", seconds=1.0),
    python("huge figure", "import matplotlib.pyplot as p\np.figure(figsize=(1e5, 1e5))", "no_image", guarded=False,
           language="matplotlib", verdict="run"),
    python("TeX", "import matplotlib.pyplot as p\np.rcParams['text.usetex'] = True\np.title('x')\np.show()",
           language="matplotlib"),
)  # fmt: skip

PIPES = (
    python("1 GB to the pipe", "for n in range(1024): os.write(3, bytes(1 << 20))", "unsafe_output", "error"),
    python("two answers", "import struct\nos.write(3, 2 * (struct.pack('>cI', b'N', 1) + b'x'))\nos._exit(0)",
           "unsafe_output"),
    python("a length that lies", "import struct\nos.write(3, struct.pack('>cI', b'P', 2**32 - 1))\nos._exit(0)",
           "unsafe_output"),
    python("a kind that is none", "import struct\nos.write(3, struct.pack('>cI', b'R', 0))\nos._exit(0)",
           "unsafe_output"),
    python("an answer on every pipe", """
import struct
answer = struct.pack('>cI', b'N', 6) + b'forged'
for number in range(256):
    if number != 3:
        try: os.write(number, answer)
        except OSError: continue
        if number > 3: raise RuntimeError('ESCAPED')
""" + SHAPE, "drawn"),
    python("closed pipes", "os.closerange(0, 256)"),
    python("ends without a word", "os._exit(0)", "no_image"),
    python("ends with a status", "os._exit(7)"),
    python("no image", "import struct\nos.write(3, struct.pack('>cI', b'P', 4) + b'GIF8')\nos._exit(0)",
           "unsafe_output"),
    python("image of 4 million by 4 million", """
import struct, zlib
def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
png = b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 4 << 20, 4 << 20, 8, 2, 0, 0, 0))
png += chunk(b'IDAT', zlib.compress(bytes(1 << 20))) + chunk(b'IEND', b'')
os.write(3, struct.pack('>cI', b'P', len(png)) + png)
os._exit(0)
""", "unsafe_output"),
)  # fmt: skip

_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 64 64">'
_PLAIN = '<rect width="20" height="20" fill="#000"/>'


def svg(
    name: str, content: str, *statuses: str, head: str = _HEAD, verdict: Verdict = "refused", seconds: float = 20.0
) -> Attack:
    """Return an attack in SVG: a drawing with a black square, which is drawn unless said otherwise."""
    return Attack(name, "svg", f"{head}{_PLAIN}{content}</svg>", statuses or ("drawn",), verdict, seconds)


_USES = "".join(
    f'<g id="u{n}">' + f'<use href="#u{n - 1}"/>' * 10 + "</g>" if n else '<g id="u0"><rect width="1" height="1"/></g>'
    for n in range(10)
)
_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))

DRAWINGS = (
    svg("absolute path", '<image width="40" height="40" href="{image}"/>'),
    svg("address of a file", '<image width="40" height="40" xlink:href="file://{image}"/>'),
    svg("path upward", '<image width="40" height="40" href="../../../../../../../../..{image}"/>'),
    svg("address of a server", '<image width="40" height="40" href="http://127.0.0.1:{port}/x.png"/>'),
    svg("image of a filter", '<filter id="f"><feImage href="{image}"/></filter><rect width="64" height="64" '
        'filter="url(#f)"/>'),
    svg("drawing within", '<use href="{folder}/other.svg#x"/>'),
    svg("imported style", "<style>@import url('{file}');</style>"),
    svg("foreign content", '<foreignObject width="64" height="64"><iframe src="{file}"/></foreignObject>'),
    svg("script", '<script>fetch("http://127.0.0.1:{port}")</script>'),
    svg("handler", '<rect width="9" height="9" onload="alert(1)"/>'),
    svg("style of a processing instruction", "<?xml-stylesheet href='{file}'?>"),
    svg("data that holds a drawing", '<image width="40" height="40" href="data:image/svg+xml;utf8,'
        "&lt;svg xmlns='http://www.w3.org/2000/svg'&gt;&lt;image href='{image}' width='40' height='40'/&gt;&lt;/svg&gt;"
        '"/>'),
    Attack("entity of a file", "svg",
           f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{{file}}">]>{_HEAD}<text>&x;</text></svg>',
           ("syntax", "error", "blank")),
    Attack("billion laughs", "svg", f"<!DOCTYPE svg [<!ENTITY l0 'ha'>{_LAUGHS}]>{_HEAD}<text>&l9;</text></svg>",
           ("syntax", "error", "blank", "timeout", "memory"), seconds=3.0),
    svg("uses of uses", f"<defs>{_USES}</defs><use href='#u9'/>", "error", "drawn", "timeout", "memory", seconds=2.0),
    svg("use of itself", '<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>', "drawn", "error", "syntax"),
    svg("deep nesting", "<g>" * 20_000 + "</g>" * 20_000, "drawn", "error", "syntax", "timeout", "memory", seconds=5.0),
    svg("many elements", "<path d='M0 0h1'/>" * 300_000, "drawn", "timeout", "memory", seconds=5.0),
    svg("huge window", "", "drawn", "blank", "error", head=_HEAD.replace("0 0 64 64", "0 0 1e30 1e30"), verdict="run"),
    svg("huge size", "", "drawn", "blank", "error", "memory", verdict="run",
        head=_HEAD.replace("viewBox", 'width="1e9" height="1e9" viewBox')),
    svg("huge blur", '<filter id="f" width="1e6" height="1e6"><feGaussianBlur stdDeviation="1e6"/></filter>'
        '<rect width="64" height="64" filter="url(#f)"/>', "drawn", "blank", "timeout", "memory", "error",
        verdict="run", seconds=3.0),
    svg("fine pattern", '<pattern id="p" width="1e-6" height="1e-6"><rect width="1" height="1"/></pattern>'
        '<rect width="64" height="64" fill="url(#p)"/>', "drawn", "error", "timeout", "memory", verdict="run",
        seconds=3.0),
    Attack("no drawing", "svg", "%PDF-1.4 no drawing at all", ("syntax", "error"), "run"),
)  # fmt: skip


def tex(name: str, content: str, *statuses: str, verdict: Verdict = "refused", seconds: float = 30.0) -> Attack:
    """Return an attack in TikZ, with a black square; it ends as an error of TeX unless said otherwise."""
    code = r"\begin{tikzpicture}\fill (0,0) rectangle (1,1);" + content + r"\end{tikzpicture}"
    return Attack(name, "tikz", code, statuses or ("error", "syntax"), verdict, seconds)


PICTURES = (
    tex("input", r"\node {\input{{file}}};"),
    tex("read", r"\newread\r\openin\r={file} \read\r to\x \ifeof\r\errmessage{stopped}\fi\errmessage{\x}"),
    tex("write", r"\newwrite\w\immediate\openout\w={folder}/owned.tex \immediate\write\w{x}"),
    tex("shell", r"\immediate\write18{touch {folder}/owned}", "drawn"),
    tex("pipe of a shell", r'\input"|cat {file}"'),
    tex("hidden command", r"\csname @@input\endcsname {file} "),
    tex("hidden letters", "\\^^69nput{file} "),
    tex("included picture", r"\node {\includegraphics{{image}}};"),
    tex("embedded file", r"\pdfobj file {{file}}\pdfrefobj\pdflastobj", "drawn", "error", "syntax"),
    tex("digest of a file", r"\errmessage{\pdffiledump length 99 {{file}}}"),
    tex("plot of a file", r"\draw plot file {{file}};", "drawn", "error", "syntax"),
    tex("endless loop", r"\loop\iftrue\repeat", "timeout", seconds=2.0),
    tex("words that double", r"\def\a{\a\a}\a", "memory", "error", "timeout", verdict="run", seconds=8.0),
    tex("many files", r"\newwrite\w\newcount\n\loop\immediate\openout\w=f\the\n.tex\advance\n1\ifnum\n<999999\repeat",
        "timeout", "error", seconds=3.0),
    tex("a file that grows", r"\newwrite\w\immediate\openout\w=big \loop\immediate\write\w{"
        + "x" * 5000 + r"}\iftrue\repeat", "timeout", "error", seconds=8.0),
    tex("huge picture", r"\fill (0,0) rectangle (500,500);", "drawn", "error", "blank", "timeout", verdict="run"),
)  # fmt: skip

ATTACKS = (*READS, *WRITES, *NETWORK, *PROCESSES, *AMOUNTS, *PIPES, *DRAWINGS, *PICTURES)

HARMLESS = {
    "svg": f'{_HEAD}<rect width="32" height="64" fill="#f00"/></svg>',
    "turtle": (
        "import turtle\nturtle.setup(64, 64)\nturtle.penup()\nturtle.goto(-32, -32)\nturtle.fillcolor('#f00')\n"
        "turtle.begin_fill()\nfor x, y in ((0, -32), (0, 32), (-32, 32)):\n    turtle.goto(x, y)\nturtle.end_fill()\n"
        "turtle.done()\n"
    ),
    "matplotlib": (
        "import matplotlib.pyplot as plt\nfigure = plt.figure(figsize=(1, 1))\naxes = figure.add_axes([0, 0, 1, 1])\n"
        "axes.axis('off')\naxes.set(xlim=(0, 1), ylim=(0, 1))\naxes.axvspan(0, 0.5, color='#f00')\n"
        "plt.savefig('red.png')\n"
    ),
    "tikz": r"\begin{tikzpicture}\fill[red] (0,0) rectangle (1,2); \fill[blue] (1,0) rectangle (2,2);\end{tikzpicture}",
}
"""A program of each language that makes the left half of a square red and leaves the right half white; in TikZ, whose
pictures end where their paint does, blue."""
