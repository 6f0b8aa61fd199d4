"""Every error a person may meet, each with one sentence for what is wrong and one for what to do next.

    WorkbenchError
      RecipeError        an unknown key, a value out of bounds, a preset that is not there
      DataError          a file that cannot be read as a table, a missing column, too few rows
        EncodingError    a text file whose encoding cannot be told, or is not the one that was chosen
      TemplateError      a template that does not parse or does not fit, with the position
      VerbalizerError    label words that the tokenizer cannot express or that collide
      ModelError         a model that cannot be found, read, quantized or used for the task
      MethodError        a tuning method that does not apply to the model
      TrainingError      a run that cannot go on: non-finite loss, out of memory
        ProcessLost      one of the processes that train it together is gone
        DiskError        the run's files could not be written or read
            DiskFull     for want of room
        OutOfMemory      memory that ran out while a model was loaded or trained; a ModelError as well
      RunError           a run that does not exist, is busy, or whose files are damaged
      AccessError        something that this client of a shared server may not do
      SettingsError      a start-up flag that cannot be honoured

The page and the command line show `message` and `fix`, never a traceback; the command line exits with 2. Anything that is not a
`WorkbenchError` is a bug: it is logged under an error id, and the id is what a person sees.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkbenchError(Exception):
    """What is wrong (`message`) and what to do about it (`fix`), both plain sentences.

    Args:
        message: one sentence that names the file, line, field and value concerned.
        fix: one sentence that says what to do next.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} {fix}".strip())


class RecipeError(WorkbenchError):
    """A recipe that cannot be read or does not make sense."""


class DataError(WorkbenchError):
    """A data file or a selection of rows that cannot be used."""


class EncodingError(DataError):
    """A text file whose encoding cannot be told, or is not the one that was chosen: another choice may read it."""


class TemplateError(WorkbenchError):
    """A template that does not parse, or that leaves no room for the text.

    Args:
        position: index of the offending character in the template, or None when no single place is at fault.
    """

    def __init__(self, message: str, *, fix: str = "", position: int | None = None) -> None:
        self.position = position
        super().__init__(message, fix=fix)


class VerbalizerError(WorkbenchError):
    """Label words that are missing, unknown to the tokenizer, or shared by two labels."""


class ModelError(WorkbenchError):
    """A model that cannot be found, read, quantized or used for the task."""


class MethodError(WorkbenchError):
    """A tuning method that does not apply, or whose saved weights belong to another model."""


class TrainingError(WorkbenchError):
    """A run that cannot go on: a non-finite loss, no memory left, nothing to train."""


class ProcessLost(TrainingError):
    """One of a run's processes has ended, so the others cannot go on; the run can, from its last checkpoint."""


class DiskError(TrainingError):
    """A run's files could not be written or read; nothing is wrong with what is trained."""


class DiskFull(DiskError):
    """There is no room for a run's files; with more of it, the run goes on from its last checkpoint."""


class OutOfMemory(TrainingError, ModelError):
    """Memory ran out while a model was loaded or trained; with more of it, the same would work."""


MEMORY_FIX = "Lower training.batch_size or prompt.max_length, set training.gradient_checkpointing, or quantize the model; then resume."
"""What to do where a run had too little memory."""


class RunError(WorkbenchError):
    """A run that does not exist, is busy, or whose files are damaged."""


class AccessError(WorkbenchError):
    """Something that this client of a shared server may not do."""


class SettingsError(WorkbenchError):
    """A start-up flag that cannot be honoured."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that names the known name closest to `name`, or lists them all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else "There is none."
