"""Writes TensorBoard's event files: `tensorboard --logdir RUNS` shows them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
from etils import epath
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from ppocr_jax.files import naming

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

FLUSH_S = 30  # seconds after which TensorBoard sees a record at the latest


class TensorBoard:
    """A `Writer` for TensorBoard. It has no thread of its own, so that errors reach the caller.

    Args:
        workdir: folder of the run; the files go to `workdir/events`.
        first_step: steps done when the run starts or is resumed.
        config: the run's config as nested dicts; not needed here.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, workdir: epath.PathLike, first_step: int, config: Mapping[str, Any]) -> None:
        self._folder = epath.Path(workdir) / "events"
        with naming(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Names only have whole seconds: two starts within one second get different files.
            own = f".{os.getpid()}.{first_step}"
            self._writer = EventsWriter(str(self._folder / "events"), own)
            # Hides what an earlier start wrote after the step at which this one resumes.
            start = SessionLog(status=SessionLog.START)
            self._write(Event(step=first_step + 1, session_log=start))
            self._flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by name."""
        for tag, value in values.items():
            self._add(step, Summary(value=[Summary.Value(tag=tag, simple_value=value)]))

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text, as a code block: TensorBoard shows texts as Markdown."""
        self._add(step, summary.text(name, f"```\n{text}\n```"))

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Writes an image in BGR order, as JPEG."""
        height, width = picture.shape[:2]
        encoded = cv2.imencode(".jpg", picture)[1].tobytes()
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encoded
        )
        self._add(step, Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self) -> None:
        """Closes the file."""
        with naming(self._folder):
            self._writer.close()

    def _add(self, step: int, values: Summary) -> None:
        with naming(self._folder):
            self._write(Event(step=step, summary=values))
            if time.monotonic() > self._next_flush:
                self._flush()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)

    def _flush(self) -> None:
        self._writer.flush()
        self._next_flush = time.monotonic() + FLUSH_S
