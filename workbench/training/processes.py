"""Several processes that train one run together: what each of them takes, what they add up, and what one of them does alone.

    torchrun, accelerate launch --> N times the same command
        process 0, the leader       queue, index, events, checkpoints, answers; `call` takes the others along into every training
        processes 1 ... N-1         `follow`: train what the leader calls for and write nothing

`group()` is the process's own group. Without a launcher it is `Alone`, whose every method is what is left of it with one process:
nothing. So whoever trains asks the group and never how many there are. Only plain tensors and JSON travel.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from workbench.errors import ProcessLost, SettingsError, WorkbenchError
from workbench.recipe import ModelPart

if TYPE_CHECKING:
    from torch.distributed import Store

JOIN_SECONDS = 600.0
SILENT_SECONDS = 1800.0
"""How long one process may keep the others waiting within a training, saving included."""
PARTING_SECONDS = 20.0
SECONDS_BETWEEN_LOOKS = 0.05
WORD_BYTES = 64
AGAIN = "Resume the run: it goes on from its last checkpoint, on as many processes as there are then."
T = TypeVar("T")


class Alone:
    """A group of one.

    Attributes:
        rank: this process's number; 0 leads.
        size: how many processes there are.
        broken: some of them are out of step or gone; nothing more can be done together.
    """

    rank = 0
    size = 1
    broken = False

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def place(self, part: ModelPart) -> ModelPart:
        """The model for this process: on a device of its own where the recipe leaves the choice."""
        return part

    def wrap(self, module: nn.Module, blocks: Sequence[nn.Module] | None) -> nn.Module:
        """The module whose backward pass gives every process the gradients of all.

        Args:
            blocks: parts of it that the processes cut up among them, one at a time, and then the rest; None keeps it whole in each.
        """
        return module

    def read(self, module: nn.Module, work: Callable[[], T]) -> T:
        """`work`, which runs parts of a wrapped module without gradients; all processes do the same where it is cut up."""
        return work()

    def keeping_gradients(self, module: nn.Module) -> contextlib.AbstractContextManager[object]:
        """Within it a backward pass adds to this process's gradients only: for all batches of a step but the last."""
        return contextlib.nullcontext()

    def total(self, value: float) -> float:
        """The sum of every process's value."""
        return value

    def decide(self, word: str) -> str:
        """The leader's word, whatever the others say."""
        return word

    def wait(self) -> None:
        """Returns when every process has come here."""

    def first(self, work: Callable[[], T]) -> T:
        """The leader's work, then everybody's own, which finds what the leader has left on the disk."""
        return work()

    def rows(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], Tensor]) -> Tensor:
        """`answer(items)`, [N, ...] on the CPU, every process answering for a share; each row once, in order."""
        return answer(items)

    def summed(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], float]) -> float:
        """`answer(items)` where it is a sum over them, every process answering for a share."""
        return answer(items)

    def texts(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], list[str]]) -> list[str]:
        """As `rows` for texts, [N]."""
        return answer(items)

    @contextlib.contextmanager
    def training(self, content: dict[str, Any]) -> Iterator[None]:
        """Around one training, which `content` describes to the other processes."""
        yield


class Together(Alone):
    """This process and those started with it. Made by `joined`, lives until that ends; used by one thread at a time.

    Args:
        store: torch's key-value store, which all of them reach: calls, farewells and the reasons of those that left.
    """

    def __init__(self, rank: int, size: int, store: Store) -> None:
        self.rank, self.size = rank, size
        self._store = store
        self._calls, self._firsts = 0, 0
        self._cut_up = False

    def place(self, part: ModelPart) -> ModelPart:
        if part.device not in ("auto", "cuda") or not torch.cuda.is_available():
            return part
        return part.model_copy(update={"device": f"cuda:{_local_rank() % torch.cuda.device_count()}"})

    def wrap(self, module: nn.Module, blocks: Sequence[nn.Module] | None) -> nn.Module:
        """fully_shard over `blocks`, or DistributedDataParallel without them."""
        import warnings

        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.nn.parallel import DistributedDataParallel

        self._cut_up = blocks is not None
        if blocks is not None:
            mesh = init_device_mesh(next(module.parameters()).device.type, (self.size,))
            for part in (*blocks, module):
                fully_shard(part, mesh=mesh)
            return module

        # A model may have parts that a loss does not reach (a pooler); where it has none, torch warns.
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        return DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)

    def read(self, module: nn.Module, work: Callable[[], T]) -> T:
        if not self._cut_up:
            return work()
        whole: Any = module
        with torch.no_grad():
            done = whole(work)
        whole.reshard()  # what stays whole after a reading would not see the weights of the next step
        return done

    def keeping_gradients(self, module: nn.Module) -> contextlib.AbstractContextManager[object]:
        # Gradients of a model that is cut up are added up batch by batch: keeping them would take the room that cutting it up saves.
        return contextlib.nullcontext() if self._cut_up else module.no_sync()

    def total(self, value: float) -> float:
        tensor = torch.tensor(value, dtype=torch.float64)
        self._add_up(tensor)
        return float(tensor)

    def decide(self, word: str) -> str:
        """The leader's word, at most WORD_BYTES of UTF-8, in every process."""
        tensor = torch.zeros(WORD_BYTES, dtype=torch.uint8)
        content = word.encode() if self.leads else b""
        tensor[: len(content)] = torch.tensor(list(content), dtype=torch.uint8)
        torch.distributed.broadcast(tensor, 0)
        return bytes(tensor.tolist()).rstrip(b"\0").decode()

    def wait(self) -> None:
        self.total(0.0)

    def first(self, work: Callable[[], T]) -> T:
        self._firsts += 1
        key = f"first/{self._calls}/{self._firsts}"
        if not self.leads:
            self._await(key)
            return work()
        done = work()
        self._store.set(key, "done")
        return done

    def rows(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], Tensor]) -> Tensor:
        if self._cut_up:
            return answer(items)
        own = answer(self._share(items))
        whole = own.new_zeros(len(items), *own.shape[1:])
        whole[self.rank :: self.size] = own
        self._add_up(whole)  # every row is 0 in all processes but one
        return whole

    def summed(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], float]) -> float:
        return answer(items) if self._cut_up else self.total(answer(self._share(items)))

    def texts(self, items: Sequence[Any], answer: Callable[[Sequence[Any]], list[str]]) -> list[str]:
        if self._cut_up:
            return answer(items)
        share = self._share(items)
        content = json.dumps(answer(share) if share else []).encode()
        sizes = torch.zeros(self.size, dtype=torch.int64)
        sizes[self.rank] = len(content)
        self._add_up(sizes)
        letters = torch.zeros(self.size, int(sizes.max()), dtype=torch.uint8)
        letters[self.rank, : len(content)] = torch.tensor(list(content), dtype=torch.uint8)
        self._add_up(letters)
        whole = [""] * len(items)
        for rank in range(self.size):
            whole[rank :: self.size] = json.loads(bytes(letters[rank, : sizes[rank]].tolist()))
        return whole

    @contextlib.contextmanager
    def training(self, content: dict[str, Any]) -> Iterator[None]:
        """Raises ProcessLost when another process leaves meanwhile. An error that all processes meet alike leaves the group whole."""
        if self.broken:
            raise self._lost()
        self._calls, self._firsts = self._calls + self.leads, 0
        if self.leads:
            self._store.set(f"call/{self._calls}", json.dumps(content))
        try:
            yield
        except WorkbenchError as error:
            self._part(error.message)
            raise
        except RuntimeError as error:
            if not _is_lost_connection(error):
                raise
            self.broken = True
            raise self._lost() from error

    def next_call(self) -> dict[str, Any] | None:
        """What the leader wants trained next; None when there is nothing more.

        Raises:
            ProcessLost: the leader is gone.
        """
        self._calls += 1
        try:
            return json.loads(self._await(f"call/{self._calls}"))
        except RuntimeError as error:
            raise ProcessLost("The leading process has ended.", fix=AGAIN) from error

    def dismiss(self) -> None:
        """Sends the others home; the leader waits until they have heard it, for it may be its own process that holds the store."""
        with contextlib.suppress(RuntimeError):
            self._store.set(f"call/{self._calls + 1}", "null")
            if not self.broken:
                self._until(lambda: self._store.add("home", 0) >= self.size - 1)

    def go_home(self) -> None:
        """What a process says that has been dismissed."""
        with contextlib.suppress(RuntimeError):
            self._store.add("home", 1)

    def _share(self, items: Sequence[Any]) -> Sequence[Any]:
        return [items[place] for place in range(self.rank, len(items), self.size)]

    def _add_up(self, tensor: Tensor) -> None:
        torch.distributed.all_reduce(tensor)

    def _part(self, reason: str) -> None:
        """Says why this process leaves a training; the group is broken unless all the others leave it too."""
        with contextlib.suppress(RuntimeError):
            self._store.set(self._left(self.rank), reason)
            self.broken = self.broken or not self._until(lambda: self._store.check([self._left(rank) for rank in range(self.size)]))

    def _left(self, rank: int) -> str:
        return f"left/{self._calls}/{rank}"

    def _lost(self) -> ProcessLost:
        """With the reason of the first process that said why it left."""
        with contextlib.suppress(RuntimeError):
            for rank in range(self.size):
                if self._store.check([self._left(rank)]):
                    reason = self._store.get(self._left(rank)).decode().rstrip(".")
                    return ProcessLost(f"A process of this run has ended: {reason}.", fix=AGAIN)
        return ProcessLost("A process of this run has ended without a word.", fix=AGAIN)

    def _await(self, key: str) -> str:
        """The value of a key that the leader sets, however long that takes; ProcessLost when it leaves the training before."""
        while not self._store.check([key]):
            if self._store.check([self._left(0)]):
                self.broken = True
                raise self._lost()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return self._store.get(key).decode()

    def _until(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + PARTING_SECONDS
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return True


_ALONE = Alone()
_group: Alone = _ALONE


def group() -> Alone:
    """The group that this process belongs to."""
    return _group


@contextlib.contextmanager
def joined() -> Iterator[Together]:
    """This process as one of those that its launcher has started; `group()` is theirs until the end.

    Raises:
        SettingsError: the others do not come.
    """
    global _group
    from torch import distributed as dist

    enough = torch.cuda.is_available() and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= torch.cuda.device_count()
    if enough:
        torch.cuda.set_device(_local_rank())
    try:
        store, rank, size = next(iter(dist.rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS))))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if enough else "gloo", store=dist.PrefixStore("torch", store), rank=rank, world_size=size,
            timeout=timedelta(seconds=SILENT_SECONDS),
        )
    except (RuntimeError, ValueError) as error:
        raise SettingsError(
            f"The processes of the launcher did not find each other ({str(error).splitlines()[0][:160]}).",
            fix="Check MASTER_ADDR, MASTER_PORT and the firewalls between the machines.",
        ) from error
    together = Together(rank, size, dist.PrefixStore("workbench", store))
    _group = together
    try:
        yield together
    finally:
        _group = _ALONE
        if together.leads:
            together.dismiss()
        dist.destroy_process_group()


def follow(train: Callable[[dict[str, Any]], object], together: Together) -> None:
    """What every process but the leader does: each training that the leader calls for, until it has none left. Requests to end are the
    leader's to obey, with a checkpoint; it says when it is over.

    Raises:
        ProcessLost: the leader or another process is gone, or this one had to leave them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while (call := together.next_call()) is not None:
        try:
            train(call)
        except WorkbenchError:
            if together.broken:
                raise
    together.go_home()


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _is_lost_connection(error: RuntimeError) -> bool:
    """Whether torch's collectives gave up; gloo says so in a plain RuntimeError."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error) or "Connection" in str(error)
