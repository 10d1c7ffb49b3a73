"""`train.options` of every objective: what a recipe may write there. Plain data, checked before anything loads; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.core.config import RecipeConfig, build_options

STRATEGIES = ("auto", "ddp", "fsdp2", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3")
SHARES_OUT, STEPS_ITSELF = ("lm", "denoise", "masked-lm"), ("vocoder",)  # objectives that FSDP2 knows; that step their optimizers themselves
FREEZABLE = ("backbone", "encoder", "projector")
UNIT_ROWS = ("normal", "codebook", "labels")


@dataclass(frozen=True)
class NetworkOptions:
    """Sizes of the transformer or Conformer that an objective pretrains; the defaults train on two cores.

    Attributes:
        mask_probability: of a frame to start a masked span; spans overlap, so that about 1 - (1 - p) ^ mask_frames of all frames
            are masked.
        mask_frames: length of a masked span.
        tempo: each batch is played up to this share faster or slower (speed perturbation; Ko et al., Interspeech 2015).
    """

    hidden_size: int = 192
    layers: int = 6
    heads: int = 4
    ffn_size: int = 768
    mask_probability: float = 0.065
    mask_frames: int = 10
    tempo: float = 0.0


@dataclass(frozen=True)
class WaveOptions(NetworkOptions):
    """As NetworkOptions, and:

    Attributes:
        convolution_size: channels of the seven convolutions on the waveform.
    """

    convolution_size: int = 128


@dataclass(frozen=True)
class BestRqOptions(NetworkOptions):
    """`train.options` of objective best-rq: as NetworkOptions, and:

    Attributes:
        bands: log-mel bands; USM has 128.
        stack: log-mel frames that become one input; 4 gives 25 Hz.
        convolution_kernel: frames that the Conformer's convolution sees.
        codebooks: independent quantizers with a softmax each; USM has 16.
        codes: of a codebook.
        code_size: dimensions in which the nearest code is sought.
    """

    bands: int = 80
    stack: int = 4
    convolution_kernel: int = 15
    codebooks: int = 1
    codes: int = 8192
    code_size: int = 16


@dataclass(frozen=True)
class HubertOptions(WaveOptions):
    """`train.options` of objective hubert: as WaveOptions, and:

    Attributes:
        projection_size: dimensions in which a frame is compared with the embeddings of the units.
        feature_penalty: weight of the mean square of what the convolutions give.
        unmasked_weight: of the same loss on frames that are not masked, 0 in the paper; with little speech the convolutions learn
            most from these.
    """

    projection_size: int = 128
    feature_penalty: float = 10.0
    unmasked_weight: float = 0.0


@dataclass(frozen=True)
class Wav2Vec2Options(WaveOptions):
    """`train.options` of objective wav2vec2: as WaveOptions, and:

    Attributes:
        groups, codes: of the quantizer: `groups` codebooks of `codes` entries each.
        projection_size: dimensions in which latents are compared.
        distractors: latents of the same clip among which the true one is to be found.
        diversity_weight: of the loss that keeps all codes in use.
    """

    groups: int = 2
    codes: int = 160
    projection_size: int = 128
    distractors: int = 50
    diversity_weight: float = 0.1


@dataclass(frozen=True)
class CtcOptions:
    """`train.options` of objective ctc.

    Attributes:
        text_tokenizer: weight source of a text tokenizer whose pieces are the labels; "" takes characters.
        seen_pieces: only the pieces that the training texts have are labels: of a vocabulary of 50,000 they may be one in ten.
        reconstruction_weight: of the log-mel L1 loss beside the CTC loss; 0 for an adapter that only listens.
        mask_frames: longest stretch of input frames blanked (SpecAugment in time, arXiv 1904.08779).
        masks_per_s: how many such stretches a second of input.
        input_dropout: share of input values dropped.
        noise: standard deviation of the noise on the adapter's output before the mel head, so that the head does not
            rely on detail that a codebook cannot keep.
    """

    text_tokenizer: str = ""
    seen_pieces: bool = False
    reconstruction_weight: float = 2.0
    mask_frames: int = 6
    masks_per_s: float = 0.7
    input_dropout: float = 0.0
    noise: float = 0.1
    hidden_size: int = 256
    blocks: int = 4


@dataclass(frozen=True)
class EncoderCtcOptions:
    """`train.options` of objective encoder-ctc.

    Attributes:
        text_tokenizer: weight source of a text tokenizer whose pieces are the labels; "" takes characters.
        mask_probability, mask_frames: spans of the encoder's frames that the head does not see, as in pretraining; 0 hides none.
        time_masks_per_s, time_mask_frames, frequency_masks, frequency_mask_bands: SpecAugment of what a network reads as log-mel frames: how many
            stretches of time and of frequency are hidden, and how long they are at most.
        frozen_layers: so many layers from below rest, and what comes before them.
    """

    text_tokenizer: str = ""
    mask_probability: float = 0.0
    mask_frames: int = 5
    time_masks_per_s: float = 0.0
    time_mask_frames: int = 30
    frequency_masks: int = 0
    frequency_mask_bands: int = 15
    frozen_layers: int = 0


@dataclass(frozen=True)
class TransducerFitOptions(EncoderCtcOptions):
    """`train.options` of objective transducer: as EncoderCtcOptions, and:

    Attributes:
        hidden_size: of the prediction network and the joiner.
    """

    hidden_size: int = 256


@dataclass(frozen=True)
class KmeansOptions:
    """`train.options` of objective kmeans.

    Attributes:
        algorithm: "lloyd", or "minibatch" for more frames than many passes are worth.
        iterations: most passes over all frames.
        tolerance: stop when the inertia falls by less than this share: in a pass, or over a thousand frames a cluster.
        batch_frames: frames of a mini-batch.
    """

    algorithm: str = "lloyd"
    iterations: int = 30
    tolerance: float = 1e-4
    batch_frames: int = 10_000


@dataclass(frozen=True)
class LmOptions:
    """`train.options` of objective lm; shares are between 0 and 1.

    Attributes:
        join: share of samples to which another of the same task and languages is appended.
        tempo: largest share of input frames that are dropped or doubled.
        replace_frames: share of input units or features replaced by random ones of the batch.
        replace_text, replace_units: share of teacher-forced text ids and units replaced by random ones (the loss still wants
            the true ones), so that the network looks at its input rather than at what it said before.
        unit_loss_weight: of the loss on units, beside 1 for text.
        ctc_weight: of a CTC loss on the hidden states over the given units or features, against the transcript where the
            sample emits one.
        guide_weight, guide_steps: guided attention (alm.train.guide) and the steps over which its weight falls to zero:
            without it a small network learns by heart long before it learns to listen.
        guide_copies: start the guided head as one that copies what it looks at; for tied rows and a network from scratch.
        unit_rows: how the unit rows start, which is unsettled in AudioPaLM: as the backbone starts new rows ("normal"); as a random
            projection of the tokenizer's centroids, so that units that sound alike start alike ("codebook"); or as the text rows of
            the characters that each sounds like ("labels", by the trained labels of decoder ctc-units), so that a backbone that can
            read starts with speech spelt to it.
        freeze: what rests: "backbone" (all but the rows of units and tags), "encoder" (a live one), "projector" (what follows the encoder).
        half_precision_checkpoint: write weights as float16.
    """

    join: float = 0.0
    tempo: float = 0.0
    replace_frames: float = 0.0
    replace_text: float = 0.0
    replace_units: float = 0.0
    unit_loss_weight: float = 1.0
    ctc_weight: float = 0.0
    guide_weight: float = 0.0
    guide_steps: int = 2000
    guide_copies: bool = False
    unit_rows: str = "normal"
    freeze: tuple[str, ...] = ()
    half_precision_checkpoint: bool = True

    def __post_init__(self) -> None:
        for part in self.freeze:
            if part not in FREEZABLE:
                raise UnknownNameError(f"got freeze {part!r}", "what can rest", did_you_mean(part, FREEZABLE))
        if self.unit_rows not in UNIT_ROWS:
            raise UnknownNameError(f"got unit_rows {self.unit_rows!r}", "a way to start them", f"one of: {', '.join(UNIT_ROWS)}")


def _refuse_listening(options: LmOptions, objective: str) -> None:
    if options.guide_weight or options.ctc_weight:
        raise AlmError(f"got guide_weight or ctc_weight for objective {objective}", "neither: they go with a model that listens from left to right", "leave them out")


@dataclass(frozen=True)
class MaskedLmOptions(LmOptions):
    """`train.options` of objective masked-lm: as LmOptions, and:

    Attributes:
        mask_share: of positions that are hidden and to be found again.
    """

    mask_share: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_listening(self, "masked-lm")
        if not 0 < self.mask_share < 1:
            raise AlmError(f"got mask_share {self.mask_share:g}", "above 0, below 1", "correct train.options")


@dataclass(frozen=True)
class DenoiseOptions(LmOptions):
    """`train.options` of objective denoise: as LmOptions, and:

    Attributes:
        noise_share: of positions that are taken out and to be written behind what is left.
        span_ids: how many positions a stretch that is taken out has on average.
    """

    noise_share: float = 0.3
    span_ids: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_listening(self, "denoise")
        if not 0 < self.noise_share < 1 or self.span_ids < 1:
            raise AlmError(f"got noise_share {self.noise_share:g} and span_ids {self.span_ids:g}", "above 0 and below 1, and 1 or more", "correct train.options")


@dataclass(frozen=True)
class DpoOptions:
    """`train.options` of objective dpo.

    Attributes:
        beta: how much a change against the reference counts: the larger, the nearer the model stays to it.
        likelihood_weight: of the mean log-likelihood of the better answer beside the loss of pairs, so that it does not become less
            likely together with the worse one (as arXiv 2404.19733).
        half_precision_checkpoint: write weights as float16.
    """

    beta: float = 0.1
    likelihood_weight: float = 0.0
    half_precision_checkpoint: bool = True


@dataclass(frozen=True)
class BpeOptions:
    """`train.options` of objective bpe.

    Attributes:
        vocabulary_size: ids, with the 256 bytes and two special tokens.
    """

    vocabulary_size: int = 1024


@dataclass(frozen=True)
class UnitLabelsOptions:
    """`train.options` of objective unit-labels: none."""


@dataclass(frozen=True)
class VocoderOptions:
    """`train.options` of objective vocoder.

    Attributes:
        segment_units: length of a training crop.
        batch_segments: crops in a batch.
        adversarial_from: share of the run after which the discriminator takes part; 1 leaves it out.
        mel_weight, feature_weight: of the losses beside the adversarial one.
        periods: of the discriminators that see samples a period apart.
        resolutions: of those on spectrograms, in samples; on two cores they cost ten times what the others do, and () leaves them out.
        ema: share that the moving average of the weights keeps in a step, once it has seen many; 0 keeps the last weights.
        stft_weight: of the L1 loss of log magnitudes on linear frequency, fine enough to tell harmonics apart.
        pitch_weight, duration_weight, spectrogram_weight: of what a vocoder predicts beside the sound, if it does.
        replace_units: share of units replaced by random ones of the batch, as a language model errs.
        critic_samples: the discriminators judge a stretch of this length of each crop, as HiFi-GAN's do; they cost many
            times what the vocoder does.
    """

    segment_units: int = 32
    batch_segments: int = 12
    adversarial_from: float = 0.5
    mel_weight: float = 15.0
    feature_weight: float = 2.0
    stft_weight: float = 0.0
    pitch_weight: float = 1.0
    duration_weight: float = 1.0
    spectrogram_weight: float = 10.0
    replace_units: float = 0.0
    critic_samples: int = 8192
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    resolutions: tuple[int, ...] = (320, 640, 1280)
    ema: float = 0.999


@dataclass(frozen=True)
class ClassifyOptions:
    """`train.options` of objective classify.

    Attributes:
        label: what is to be told: "language", "speaker", or another label that utterances have. A classifier of frames tells speech.
        margin: by which the cosine of the true label must be better than others' (AM-softmax, arXiv 1801.05599); for verification.
        mixtures, mixture_s: for frames: how many recordings are put together, and how long each is at least.
        sounds: share of other sounds among what they are made of, of utterances without a text.
        least_snr_db, most_snr_db: of the noise in them.
    """

    label: str = "language"
    margin: float = 0.0
    mixtures: int = 400
    mixture_s: float = 10.0
    sounds: float = 0.25
    least_snr_db: float = 5.0
    most_snr_db: float = 40.0


@dataclass(frozen=True)
class RescoreOptions:
    """`train.options` of objective rescore.

    Attributes:
        ranking_weight: of the ranking loss of pairs, beside the expected number of wrong words.
        least_snr_db, most_snr_db: of the noise with which training clips are heard.
    """

    ranking_weight: float = 0.5
    least_snr_db: float = 0.0
    most_snr_db: float = 20.0


@dataclass(frozen=True)
class NgramFitOptions:
    """`train.options` of objective ngram.

    Attributes:
        texts: a file with a text a line, beside the corpora's transcripts; "" for none.
        language: of its texts, by whose rules they are spelt.
    """

    texts: str = ""
    language: str = "en"


OPTIONS: dict[str, type] = {
    "best-rq": BestRqOptions,
    "bpe": BpeOptions,
    "classify": ClassifyOptions,
    "ctc": CtcOptions,
    "denoise": DenoiseOptions,
    "dpo": DpoOptions,
    "encoder-ctc": EncoderCtcOptions,
    "hubert": HubertOptions,
    "kmeans": KmeansOptions,
    "lm": LmOptions,
    "masked-lm": MaskedLmOptions,
    "ngram": NgramFitOptions,
    "rescore": RescoreOptions,
    "transducer": TransducerFitOptions,
    "unit-labels": UnitLabelsOptions,
    "vocoder": VocoderOptions,
    "wav2vec2": Wav2Vec2Options,
}


def training_options(recipe: RecipeConfig) -> Any:
    """The options of a recipe's objective.

    Raises:
        AlmError: a key that it has not, or a value that does not fit one.
    """
    return build_options(OPTIONS[recipe.train.objective], recipe.train.options, "train.options")


def _together(recipe: RecipeConfig) -> list[tuple[str, str, str]]:
    """Misfits of how several processes, or several batches, make a step."""
    train = recipe.train
    if train.strategy not in STRATEGIES:
        return [(f"got train.strategy {train.strategy!r}", "one of " + ", ".join(STRATEGIES), did_you_mean(train.strategy, STRATEGIES))]
    if train.strategy == "fsdp2" and train.objective not in SHARES_OUT:
        return [(f"got train.strategy fsdp2 for objective {train.objective}", f"objective {', '.join(SHARES_OUT)}, whose weights are shared out", "use ddp")]
    if train.strategy == "fsdp2" and (recipe.parts.get("backbone") and recipe.parts["backbone"].options.get("lora_rank")):
        return [("got train.strategy fsdp2 for LoRA", "all weights trained", "use ddp: LoRA's gradients are small")]
    if min(train.devices, train.nodes, train.accumulate) < 1:
        return [(f"got train.devices={train.devices}, nodes={train.nodes}, accumulate={train.accumulate}", "1 or more of each", "raise it")]
    if train.accumulate > 1 and train.objective in STEPS_ITSELF:
        return [(f"got train.accumulate={train.accumulate} for objective {train.objective}, which has two optimizers", "1", "enlarge its batches")]
    return []


def check_options(recipe: RecipeConfig) -> list[tuple[str, str, str]]:
    """Every misfit, as alm.core.check says the parts'."""
    try:
        options = training_options(recipe)
    except AlmError as error:
        return [(error.got, error.wanted, error.fix)]
    together = _together(recipe)
    if together:
        return together
    rows = getattr(options, "unit_rows", "normal")
    needed = {"labels": ("tokenizer", "unit_decoder"), "codebook": ("tokenizer",)}.get(rows, ())
    return [
        (f"got train.options.unit_rows {rows} without parts.{kind}", f"a {kind}", f"add `{kind}: {{use: NAME}}` under parts, or set unit_rows: normal")
        for kind in needed
        if kind not in recipe.parts
    ]
