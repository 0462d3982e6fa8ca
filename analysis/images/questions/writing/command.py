"""`ex2 label FOLDER --questions`: serves the page on which questions are written."""

from __future__ import annotations

from argparse import Namespace

from analysis.images.questions.writing.session import WritingPage, WritingSession
from analysis.labeling.local_pages import PageServer, serve
from ex2.run.lock import writing_stage
from reward.errors import UserError
from reward.terminal import PlainConsole


def main(options: Namespace) -> int:
    """Serve the page until the user ends it.

    Args:
        options: `runs` (here one folder of images), `host`, `port` and `open`.

    Returns:
        0. Every question was saved when it was written.

    Raises:
        UserError: If the folder, its file of questions or the address cannot be used.
        EnvironmentFault: If another process writes there.
    """
    if len(options.runs) != 1:
        raise UserError(f"{', '.join(map(str, options.runs))}: --questions takes one folder of images.")
    (folder,) = options.runs
    session = WritingSession(folder)
    with writing_stage(folder, "questions"):
        server = PageServer(WritingPage(session), options.host, options.port)
        console = PlainConsole(highlight=False, soft_wrap=True)
        console.print(f"{session.written} questions about {len(session.images)} images of {folder}.", markup=False)
        console.print(f"Open {server.url} and write; Enter saves with yes, Shift+Enter with no. Ctrl-C ends.")
        if server.is_public:
            console.print(f"Anyone who reaches {options.host} and has this address can write, and it is not encrypted.")
        serve(server, open_browser=options.open)
    console.print(f"{session.written} questions; next: ex2 ask {session.file} --answerer NAME", markup=False)
    return 0
