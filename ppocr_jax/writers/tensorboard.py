"""TensorBoard's event files: `tensorboard --logdir RUNS` shows them."""

import os
import time

import cv2
from etils import epath
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from ppocr_jax.files import naming

FLUSH_S = 30  # the longest that a record waits for TensorBoard to see it


class TensorBoard:
    """A `Writer` that works in the caller's thread: what fails is told to it."""

    def __init__(self, workdir, first_step, config):
        self._folder = epath.Path(workdir) / "events"
        with naming(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            own = f".{os.getpid()}.{first_step}"  # two starts within a second have two files
            self._writer = EventsWriter(str(self._folder / "events"), own)
            # Hides what an earlier start wrote after the step that this one goes on from.
            start = SessionLog(status=SessionLog.START)
            self._write(Event(step=first_step + 1, session_log=start))
            self._flush()

    def scalars(self, step, values):
        for tag, value in values.items():
            self._add(step, Summary(value=[Summary.Value(tag=tag, simple_value=value)]))

    def text(self, step, name, text):
        self._add(step, summary.text(name, f"```\n{text}\n```"))  # which Markdown leaves as it is

    def image(self, step, name, picture):
        height, width = picture.shape[:2]
        encoded = cv2.imencode(".jpg", picture)[1].tobytes()
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encoded
        )
        self._add(step, Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self):
        with naming(self._folder):
            self._writer.close()

    def _add(self, step, values):
        with naming(self._folder):
            self._write(Event(step=step, summary=values))
            if time.monotonic() > self._next_flush:
                self._flush()

    def _write(self, event):
        event.wall_time = time.time()
        self._writer.write_event(event)

    def _flush(self):
        self._writer.flush()
        self._next_flush = time.monotonic() + FLUSH_S
