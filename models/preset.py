"""Where a model's first weights come from: a preset with pretrained ones, or from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textmill.artifact import LINEAGE, digest_files, read_json
from textmill.errors import UserError, nearest, one_of

# What a model is made of. Other files of a folder (a README, the same weights in a second format)
# neither change what is trained nor should they make it run again.
_PARTS = (".json", ".jinja", ".txt", ".safetensors", ".h5", ".bin")

# Layers and width: https://github.com/google-research/bert#smaller-bert-models (Turc et al., 2019).
_SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768)}
Size = Literal["tiny", "mini", "small", "base"]
TokenizerKind = Literal["wordpiece", "bpe", "unigram"]
TOKENIZERS = ("wordpiece", "bpe", "unigram")
BYTES = 256 + 5  # tokens of a byte-level BPE before the first merge


@dataclass(frozen=True)
class Preset:
    """Pretrained weights with their tokenizer.

    Attributes:
        name: A folder (a KerasHub preset, or a Hugging Face model with `config.json`,
            its weights and its tokenizer's files), a KerasHub preset's name such as
            `bert_small_en_uncased`, or `hf://owner/model`, `kaggle://owner/model/keras/variant`.
            Of a causal language model also a GGUF file.

    Example:
        >>> Preset("bert_tiny_en_uncased").local
        False
    """

    name: str

    @property
    def local(self) -> bool:
        """Whether the preset is a folder on this machine."""
        return bool(self.name) and Path(self.name).is_dir()

    @property
    def gguf(self) -> bool:
        """Whether the preset is a GGUF file."""
        return self.name.endswith(".gguf") and Path(self.name).is_file()

    def digest(self) -> str:
        """Returns what stands for the content: a hash of a folder's files, or a remote name.

        Raises:
            UserError: The name says that it is a folder, and there is none.

        Example:
            >>> Preset("hf://owner/model").digest()
            'hf://owner/model'
        """
        if self.gguf:
            return digest_files({"gguf": Path(self.name)})
        if not self.local:
            self._check_name()
            return self.name
        folder = Path(self.name)
        files = (f for f in folder.rglob("*") if f.is_file() and f.suffix in _PARTS)
        named = {f.relative_to(folder).as_posix(): f for f in files}
        return digest_files({name: f for name, f in named.items() if name != LINEAGE})

    def file(self, name: str) -> Path | None:
        """Returns a file of the preset, fetched if need be; None where the preset has none such.

        Raises:
            UserError: There is no such preset, or it can't be reached.
        """
        if self.gguf:
            from textmill.models.gguf_folder import described

            found = described(self.name, Path(self.name).stat().st_mtime) / name
            return found if found.is_file() else None
        if self.local:
            found = Path(self.name) / name
            return found if found.is_file() else None
        self._check_name()
        if self.name.startswith("hf://"):
            _check_hub(self.name.removeprefix("hf://"))
        # The one function that resolves every kind of name as from_preset() does.
        from keras_hub.src.utils.preset_utils import BUILTIN_PRESETS, get_file

        if "://" not in self.name and self.name not in BUILTIN_PRESETS:
            near = nearest(self.name, BUILTIN_PRESETS)
            raise UserError(
                f"no preset named {self.name!r}",
                expected="a folder, hf://…, kaggle://…, or a name that KerasHub knows",
                received=repr(self.name),
                fix=f"did you mean {near!r}?" if near else "see https://keras.io/keras_hub/presets",
            )
        try:
            return Path(get_file(self.name, name))
        except FileNotFoundError:
            return None
        except Exception as error:  # each hub's client has errors of its own
            raise unreachable(self.name, error) from error

    def read(self, name: str) -> dict[str, Any] | None:
        """Returns what a JSON file of the preset holds; None where there is no such file.

        Raises:
            UserError: It holds no JSON object.
        """
        file = self.file(name)
        if file is None:
            return None
        try:
            found: Any = read_json(file)
        except ValueError as error:
            found, why = None, str(error)
        else:
            why = f"a {type(found).__name__}"
        if not isinstance(found, dict):
            raise UserError(
                f"{file}: it can't be read",
                expected="a JSON object",
                received=f"{why}, in {file.stat().st_size} bytes",
                fix="take the file again from where it came",
            )
        return found

    def config(self) -> dict[str, Any]:
        """Returns `config.json`: KerasHub's (with "registered_name") or Hugging Face's.

        Raises:
            UserError: It is missing or is neither.
        """
        file = self.file("config.json")
        if file is None:
            raise self.lacks("config.json")
        try:
            config: dict[str, Any] = read_json(file)
            known = "registered_name" in config or "model_type" in config
        except (ValueError, TypeError):
            known = False
        if not known:
            raise UserError(
                f"{self.name}: config.json describes no model",
                expected='a JSON object with "model_type" (Hugging Face) or "registered_name"',
                received=file.read_text("utf-8", errors="replace")[:60].replace("\n", " "),
                fix="take the folder again from where it came, whole",
            )
        return config

    @property
    def from_keras(self) -> bool:
        """Whether it is KerasHub's own kind of preset, and not Hugging Face's."""
        return "registered_name" in self.config()

    def positions(self) -> int:
        """Returns the longest row in tokens that the model has positions for."""
        from textmill.models.checkpoint_config import longest_row, read_config

        config = read_config(self)
        if "max_position_embeddings" in config:
            return longest_row(config)
        return int(config.get("config", {}).get("max_sequence_length") or 512)

    def layers(self) -> int | None:
        """Returns how many layers the encoder has, None where the preset doesn't say."""
        config = self.config()
        kinds = (config.get("num_hidden_layers"), config.get("n_layers"))
        found = next((n for n in (*kinds, config.get("config", {}).get("num_layers")) if n), None)
        return None if found is None else int(found)

    def vocabulary_size(self) -> int | None:
        """Returns how many tokens the model has embeddings for, None where it doesn't say."""
        config = self.config()
        found = config.get("vocab_size") or config.get("config", {}).get("vocabulary_size")
        return None if found is None else int(found)

    def lacks(self, what: str) -> UserError:
        """Returns the error for a part that the preset does not have."""
        here = sorted(f.name for f in Path(self.name).iterdir()) if self.local else []
        return UserError(
            f"{self.name} has no {what}",
            expected="a KerasHub preset, or config.json, model.safetensors and the tokenizer",
            received=f"a folder with {', '.join(here[:8]) or 'nothing'}" if self.local else what,
            fix="save the model with save_to_preset(), or with save_pretrained() and its tokenizer",
        )

    def _check_name(self) -> None:
        looks_like_a_path = "://" not in self.name and ("/" in self.name or self.name[:1] in "~.")
        if looks_like_a_path or not self.name:
            raise UserError(
                f"{self.name}: no such folder",
                expected="the folder of a model, hf://…, kaggle://…, or a KerasHub preset's name",
                received=repr(self.name),
                fix=f"mend the path, or say hf://{self.name} for a model on the Hugging Face Hub",
            )


@dataclass(frozen=True)
class Scratch:
    """A new model with random weights, and a tokenizer trained on the training split.

    Attributes:
        size: "tiny" (2 layers, 128 wide), "mini" (4, 256), "small" (4, 512) or "base" (12, 768).
        vocabulary_size: Tokens at most.
        lowercase: Whether the tokenizer makes no difference between upper and lower case.
        tokenizer: "wordpiece" as BERT's, "bpe" on bytes as RoBERTa's, or "unigram" as
            XLM-RoBERTa's. The model is of the same kind.

    Example:
        >>> Scratch("mini").dimensions()["num_heads"]
        4
    """

    size: Size = "mini"
    vocabulary_size: int = 8192
    lowercase: bool = True
    tokenizer: TokenizerKind = "wordpiece"

    def __post_init__(self) -> None:
        if self.size not in _SIZES:
            near = nearest(self.size, _SIZES)
            raise UserError(
                f"no model size {self.size!r}",
                expected=one_of(_SIZES),
                received=repr(self.size),
                fix=f"did you mean {near!r}?" if near else 'take "mini"',
            )
        if self.tokenizer not in TOKENIZERS:
            near = nearest(self.tokenizer, TOKENIZERS)
            raise UserError(
                f"no kind of tokenizer {self.tokenizer!r}",
                expected=one_of(TOKENIZERS),
                received=repr(self.tokenizer),
                fix=f"did you mean {near!r}?" if near else 'take "wordpiece"',
            )
        if self.tokenizer == "bpe" and self.vocabulary_size < BYTES:
            raise UserError(
                f"vocabulary_size {self.vocabulary_size} is too small for byte-level BPE",
                expected=f"at least {BYTES}: a token for each byte, and five special ones",
                received=str(self.vocabulary_size),
                fix="set model.vocabulary_size to a few thousand, or take another tokenizer",
            )

    def digest(self) -> str:
        """Returns what stands for it in a fingerprint."""
        return f"scratch:{self.size}:{self.vocabulary_size}:{self.lowercase}:{self.tokenizer}"

    def positions(self) -> int:
        """Returns the longest row in tokens that the model has positions for."""
        return 512

    def dimensions(self) -> dict[str, int]:
        """Returns the arguments of KerasHub's backbone but the vocabulary's size."""
        layers, width = _SIZES[self.size]
        return {
            "num_layers": layers,
            "num_heads": width // 64,
            "hidden_dim": width,
            "intermediate_dim": width * 4,
            "max_sequence_length": self.positions(),
        }


def unreachable(name: str, error: object) -> UserError:
    """Returns the error for a preset that a hub did not hand over."""
    return UserError(
        f"{name} can't be fetched",
        expected="a preset that exists, and a network on which its hub answers",
        received=str(error).partition("\n")[0][:200],
        fix="check the name and the network, or give a folder that holds the model",
    )


def _check_hub(repository: str) -> None:
    """Says at once what the hub's client says after half a minute of retries."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    import huggingface_hub as hub

    cached = hub.try_to_load_from_cache(repository, "config.json")
    if isinstance(cached, str) or getproxies().get("https"):
        return
    address = urlsplit(hub.constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=10).close()
    except OSError as error:
        raise unreachable(f"hf://{repository}", f"{address.hostname}: {error}") from error
