"""The writers of a run as one. A writer that fails is left out; the run goes on."""

from ppocr_jax.errors import explain
from ppocr_jax.writers import WRITERS, NotInstalled


class Writers:
    """Passes on what it gets to every writer that still works.

    Args:
        names: of `WRITERS`.
        workdir: folder of the run.
        first_step: updates done when the run begins or goes on.
        config: as nested dicts.
        say: takes the line on a writer that fails.

    Raises:
        NotInstalled: a library that a writer needs is missing.
    """

    def __init__(self, names, workdir, first_step, config, say):
        self._say, self._open = say, {}
        for name in dict.fromkeys(names):
            try:
                opens = WRITERS.pick("config.log.writers", name)
                self._open[name] = opens(workdir, first_step, config)
            except NotInstalled:
                raise
            except Exception as error:
                self._leave_out(name, error)

    def __bool__(self):
        return bool(self._open)

    def scalars(self, step, values):
        self._tell_all("scalars", step, values)

    def text(self, step, name, text):
        self._tell_all("text", step, name, text)

    def image(self, step, name, picture):
        self._tell_all("image", step, name, picture)

    def close(self):
        self._tell_all("close")
        self._open = {}

    def _tell_all(self, method, *values):
        for name, writer in list(self._open.items()):
            try:
                getattr(writer, method)(*values)
            except Exception as error:  # a full disk, a server that is gone
                del self._open[name]
                self._leave_out(name, error)

    def _leave_out(self, name, error):
        place = f"{error.filename}: " if getattr(error, "filename", None) else ""
        self._say(
            f"warning: log.writers: {name} failed and gets nothing more until the run is started "
            f"again ({place}{explain(error)}); the run goes on, metrics.jsonl has every record"
        )
