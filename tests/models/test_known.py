"""What is known of a model before it is loaded: from folders, the hub's cache, loaded models and the catalog, never from the network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.models.tiny import save_model
from workbench.access import Places, Principal, Role, acting_as
from workbench.errors import AccessError, ModelError
from workbench.models.known import NotHereError, known_model, tokenizer_here
from workbench.models.pool import ModelPool
from workbench.recipe import ModelPart

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network_and_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the hub, or reads weights, fails."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("asked for more than a configuration and a tokenizer")

    for place in ("httpx2.Client.send", "workbench.models.loading._load_weights", "workbench.models.gguf.load_gguf"):
        monkeypatch.setattr(place, refuse)


def in_cache(cache: Path, name: str, source: Path, files: tuple[str, ...]) -> None:
    """Files of a folder as the hub's client keeps them of a model."""
    kept = cache / f"models--{name.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(COMMIT)
    (kept / "snapshots" / COMMIT).mkdir(parents=True)
    for file in files:
        shutil.copy(source / file, kept / "snapshots" / COMMIT / file)


@pytest.fixture()
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_without_weights_has_a_card_a_tokenizer_and_a_blueprint(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "qwen2")
    (folder / "model.safetensors").unlink()
    known = known_model(ModelPart(path=str(folder)))
    assert known.here and known.name == "model" and known.card(ModelPart(quantization="fp4")).quantization == "fp4"
    assert known.tokenizer()("w1 w2").input_ids and known.tokenizer() is known.tokenizer()
    empty = known.blueprint()
    assert empty.family.name == "qwen2" and all(parameter.is_meta for parameter in empty.model.parameters())


def test_a_hub_model_in_the_cache_is_known_under_its_own_name(tmp_path: Path, cache: Path) -> None:
    folder, part = save_model(tmp_path / "model", "bert"), ModelPart(path="owner/model")
    with pytest.raises(NotHereError):
        known_model(part)
    in_cache(cache, "owner/model", folder, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    known = known_model(part)
    assert known.here and known.card().name == "owner/model" and tokenizer_here(part) is known.tokenizer()
    with pytest.raises(NotHereError):
        known_model(ModelPart(path="owner/model", revision="v9"))


def test_a_cache_that_holds_the_configuration_alone_gives_no_tokenizer(tmp_path: Path, cache: Path) -> None:
    in_cache(cache, "owner/model", save_model(tmp_path / "model", "bert"), ("config.json",))
    part = ModelPart(path="owner/model")
    assert tokenizer_here(part) is None and len(known_model(part).tokenizer_for_sizes()) > 1000
    with pytest.raises(ModelError, match="no tokenizer"):
        known_model(part).blueprint()


def test_a_model_of_the_catalog_is_known_as_published(cache: Path) -> None:
    known = known_model(ModelPart(path="Qwen/Qwen2.5-7B-Instruct"))
    card = known.card()
    assert not known.here and card.parameters == 7_615_616_512  # the published count, at the vocabulary of the checkpoint
    assert known.tokenizer_for_sizes() is known_model(ModelPart(path="embedded:tiny-qwen")).tokenizer()
    with pytest.raises(NotHereError):
        known.tokenizer()
    with pytest.raises(NotHereError):  # another revision may be another model
        known_model(ModelPart(path="Qwen/Qwen2.5-7B-Instruct", revision="other"))
    assert known_model(ModelPart(path="baichuan-inc/Baichuan-7B")).card().family == "llama"


def test_looking_again_reads_no_recipe_of_the_catalog(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_model(ModelPart(path="Qwen/Qwen2.5-7B-Instruct"))
    monkeypatch.setattr("workbench.models.catalog.load_recipe", lambda file: pytest.fail(f"{file} was read again"))
    assert known_model(ModelPart(path="Qwen/Qwen2.5-7B-Instruct")).card().parameters == 7_615_616_512


def test_a_loaded_model_is_known_whatever_it_was_loaded_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pool, folder = ModelPool(), save_model(tmp_path / "model", "qwen2")
    monkeypatch.setattr("workbench.models.loading.fetch_from_modelscope", lambda name, revision, progress, **_: folder)
    part = ModelPart(path="modelscope:owner/model", device="cpu")
    with pytest.raises(NotHereError):
        known_model(part, pool)
    loaded = pool.get(part)
    known = known_model(part, pool)
    assert known.card().parameters == sum(p.numel() for p in loaded.model.parameters()) and known.name == "modelscope:owner/model"
    assert known.tokenizer() is loaded.tokenizer is tokenizer_here(part, pool)
    assert tokenizer_here(part.model_copy(update={"dtype": "bfloat16"}), pool) is None


def test_who_may_not_load_a_model_learns_nothing_of_it(tmp_path: Path, cache: Path) -> None:
    folder = save_model(tmp_path / "model", "bert")
    in_cache(cache, "owner/model", folder, ("config.json", "tokenizer.json"))
    with acting_as(Principal("guest", Role.VISITOR, Places(hub=False))):
        for path in (str(folder), "owner/model", "Qwen/Qwen2.5-7B-Instruct"):
            with pytest.raises(AccessError):
                known_model(ModelPart(path=path))
            assert tokenizer_here(ModelPart(path=path)) is None
    with acting_as(Principal("user", Role.USER, Places())):  # no folders, but the hub's cache, where its files are kept for everybody
        assert known_model(ModelPart(path="owner/model")).here
