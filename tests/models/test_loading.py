"""Loading from real folders, and one sentence for each folder that cannot be used."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.tiny import make_model, make_tokenizer, save_model
from workbench.errors import ModelError, OutOfMemory
from workbench.models import loading
from workbench.models.card import model_card
from workbench.models.hub import fetch, is_hub_id
from workbench.models.loading import compute_dtype, find_device, find_model, load_model, weight_dtype
from workbench.models.pool import ModelPool
from workbench.recipe import ModelPart


@pytest.fixture()
def bert_folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "tiny-bert", dtype=torch.float16)


def part(folder: Path | str, **fields: Any) -> ModelPart:
    return ModelPart(path=str(folder), device="cpu", **fields)


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_half_precision_folder_loads_as_float32(bert_folder: Path) -> None:
    stages: list[str] = []
    loaded = load_model(part(bert_folder), progress=lambda stage, share: stages.append(stage))
    assert stages == ["find", "check", "tokenizer", "weights", "ready"]
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert (loaded.kind, loaded.family.name, loaded.name, loaded.device.type) == ("masked", "bert", "tiny-bert", "cpu")
    assert not loaded.model.training
    expected = make_model("bert").half().float().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.model.state_dict().items())


@pytest.mark.parametrize("name", ["roberta", "distilbert", "qwen2", "gpt2"])
def test_other_families_load(tmp_path: Path, name: str) -> None:
    loaded = load_model(part(save_model(tmp_path / name, name)))
    assert loaded.family.name == name
    assert loaded.kind == ("causal" if name in ("qwen2", "gpt2") else "masked")


def test_a_tokenizer_in_python_alone_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "phobert", "roberta")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("a</w> 10\nb</w> 9\nab</w> 8\n")
    (folder / "bpe.codes").write_text("a b</w> 8\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PhobertTokenizer"}))
    with pytest.raises(ModelError, match="PhobertTokenizer.*Python alone") as caught:
        load_model(part(folder))
    assert "tokenizer.json" in caught.value.fix


def test_pad_token_is_declared(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "qwen2", "qwen2")
    tokenizer = make_tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(folder)
    assert load_model(part(folder)).tokenizer.pad_token_id == 3


def test_fingerprint_sees_weights_and_configuration(bert_folder: Path, tmp_path: Path) -> None:
    first = load_model(part(bert_folder)).fingerprint
    assert first == load_model(part(bert_folder)).fingerprint and len(first) == 64
    sibling = tmp_path / "sibling"
    make_model("bert", seed=1).half().save_pretrained(sibling)
    make_tokenizer().save_pretrained(sibling)
    assert load_model(part(sibling)).fingerprint != first
    edit(bert_folder, hidden_dropout_prob=0.2)
    assert load_model(part(bert_folder)).fingerprint != first


def without(*names: str) -> Any:
    return lambda folder: [(folder / name).unlink() for name in names]


def only_bin(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../model-1.safetensors"}}')


def no_mask(folder: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)


REFUSED = {
    "not a model folder": (without("config.json"), "not a model folder"),
    "bare encoder": (lambda f: edit(f, architectures=["BertModel"]), "bare encoder"),
    "discriminator": (lambda f: edit(f, architectures=["ElectraForPreTraining"]), "discriminator"),
    "classifier": (lambda f: edit(f, architectures=["BertForSequenceClassification"]), "without a language-model head"),
    "no architecture": (lambda f: edit(f, architectures=None), "does not name its architecture"),
    "own code": (lambda f: edit(f, auto_map={"AutoModel": "modeling_x.X"}), "Python code of its own"),
    "own tokenizer code": (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {}}'), "Python code of its own"),
    "unknown type": (lambda f: edit(f, model_type="bertt"), "not part of transformers"),
    "no type": (lambda f: edit(f, model_type=None), "which model type"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
    "only .bin": (only_bin, "only as pytorch_model.bin"),
    "no weights": (without("model.safetensors"), "holds no weights"),
    "lost shard": (lost_shard, "lacks 1 of 1 weight files, such as model-1.safetensors"),
    "truncated weights": (truncated, "cannot be loaded"),
    "weights of other sizes": (lambda f: edit(f, intermediate_size=65), "cannot be loaded|lack"),
    "more layers than weights": (lambda f: edit(f, num_hidden_layers=3), "lack"),
    "no tokenizer": (without("tokenizer.json", "tokenizer_config.json"), "holds no tokenizer"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text('{"version": 3}'), "tokenizer in tiny-bert cannot be read"),
    "no mask token": (no_mask, "no mask token"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_with_a_sentence(bert_folder: Path, case: str) -> None:
    damage, sentence = REFUSED[case]
    damage(bert_folder)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_model(part(bert_folder))
    assert caught.value.fix.endswith(".") and "\n" not in caught.value.message


def test_adapter_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="there is an adapter"):
        load_model(part(tmp_path))


def test_tokenizer_of_a_larger_model(bert_folder: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"more{i}" for i in range(9)])
    tokenizer.save_pretrained(bert_folder)
    with pytest.raises(ModelError, match="knows 129 tokens, the model only 128"):
        load_model(part(bert_folder))


def test_missing_presets_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loading, "PRESETS", tmp_path)
    with pytest.raises(ModelError, match="no models in the folder presets/models"):
        find_model("embedded:tiny-en")
    save_model(tmp_path / "models" / "tiny-en")
    assert find_model("embedded:tiny-en") == tmp_path / "models" / "tiny-en"
    with pytest.raises(ModelError, match="There is no embedded model 'tiny-eng'") as caught:
        find_model("embedded:tiny-eng")
    assert "tiny-en" in caught.value.fix


@pytest.mark.parametrize("path", ["/no/such/folder", "a/b/c", "../x", "", "a\0b", "x" * 5000, "file:///etc", "~nobody-here/x"])
def test_neither_folder_nor_hub_id(path: str) -> None:
    with pytest.raises(ModelError):
        find_model(path)


def test_hub_ids() -> None:
    assert is_hub_id("bert-base-uncased") and is_hub_id("Qwen/Qwen2.5-7B")
    assert not any(map(is_hub_id, ("a/b/c", ".a", "a..b", "a b", "-x", "")))
    assert find_model("bert-base-uncased") == "bert-base-uncased"


def test_offline_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not in the local cache"):
        fetch("nobody/nothing-here", None)


def test_hub_that_refuses_or_never_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    from workbench.models import hub

    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (silent.getsockname()[1], 9):
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
            started = time.monotonic()
            with pytest.raises(ModelError, match="hub cannot be reached"):
                fetch("nobody/nothing-here", None)
            assert time.monotonic() - started < 20


def test_devices_and_types() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert weight_dtype("auto", cpu, 10**11) == torch.float32 == compute_dtype("auto", cpu)
    assert weight_dtype("auto", gpu, 10) == torch.float32
    assert weight_dtype("float16", gpu, 10) == torch.float16 == compute_dtype("float16", cpu)
    with pytest.raises(ModelError, match="no device 'cuda:99'"):
        find_device("cuda:99")


def test_pool_shares_and_forgets(tmp_path: Path) -> None:
    folders = [save_model(tmp_path / name) for name in ("a", "b", "c")]
    pool = ModelPool()
    first = pool.get(part(folders[0]))
    assert pool.get(part(folders[0])) is first
    assert pool.fresh(part(folders[0])).model is not first.model
    pool.get(part(folders[1]))
    assert pool.get(part(folders[0])) is first
    second = pool.get(part(folders[1]))
    pool.get(part(folders[2]))
    assert pool.get(part(folders[1])) is second
    assert pool.get(part(folders[0])) is not first


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_where_weights_do_not_fit_the_message_says_what_would(bert_folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("transformers.AutoModelForMaskedLM.from_pretrained", refuse)
    card = model_card(str(bert_folder))
    # The card of a masked model is in float32, as it is loaded on a CPU.
    monkeypatch.setattr("workbench.models.loading.free_bytes", lambda device: card.memory["nf4"])
    with pytest.raises(ModelError, match="does not fit into the memory of cpu") as told:
        load_model(ModelPart(path=str(bert_folder), device="cpu"))
    assert "model.quantization: nf4 (" in told.value.fix and "fp4" in told.value.fix and "int8" not in told.value.fix
    monkeypatch.setattr("workbench.models.loading.free_bytes", lambda device: 10)
    with pytest.raises(ModelError) as told:
        load_model(ModelPart(path=str(bert_folder), device="cpu"))
    assert told.value.fix.startswith("Choose a smaller model")


def room(monkeypatch: pytest.MonkeyPatch, free: int, swap: int = 0, whole: int = 2**40) -> None:
    monkeypatch.setattr("workbench.models.loading.free_bytes", lambda device: free)
    monkeypatch.setattr("workbench.models.loading.swap_bytes", lambda device: swap)
    monkeypatch.setattr("workbench.models.loading.whole_bytes", lambda: whole)


def test_what_does_not_fit_is_refused_before_its_weights_are_read(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = model_card(part(bert_folder)).memory
    with monkeypatch.context() as patched:
        patched.setattr("transformers.AutoModelForMaskedLM.from_pretrained", lambda *a, **b: pytest.fail("the weights were read"))
        room(patched, needed["none"] - 1)
        with pytest.raises(OutOfMemory, match=r"its weights take 0\.0 GiB, and 0\.0 GiB are left") as told:
            load_model(part(bert_folder))
        assert "model.dtype: bfloat16 (" in told.value.fix and "model.quantization: int8 (" in told.value.fix
        room(patched, needed["nf4"] - 1)
        with pytest.raises(OutOfMemory, match="does not fit") as told:
            load_model(part(bert_folder, quantization="nf4"))
        assert "int8" not in told.value.fix
        room(patched, 1000)
        for bits in ("none", "int8", "nf4", "fp4"):
            with pytest.raises(OutOfMemory, match="does not fit"):
                load_model(part(bert_folder, quantization=bits))
    room(monkeypatch, needed["nf4"])
    assert load_model(part(bert_folder, quantization="nf4")).quantization == "nf4"
    room(monkeypatch, 1000, swap=needed["none"])
    load_model(part(bert_folder))


def test_weights_that_stay_in_their_file_need_a_machine_that_could_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(tmp_path / "whole", dtype=torch.float32)
    needed = model_card(part(folder)).memory["none"]
    room(monkeypatch, 1000, whole=needed)
    load_model(part(folder))
    with pytest.raises(OutOfMemory):  # these are read, and packed into memory of their own
        load_model(part(folder, quantization="int8"))
    room(monkeypatch, 1000, whole=needed - 1)
    with pytest.raises(OutOfMemory):
        load_model(part(folder))
