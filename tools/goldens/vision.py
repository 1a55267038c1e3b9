"""Small random vision-language models as GGUF pairs, and what Hugging Face transformers says: pixels, visual tokens, answers.

usage: vision.py OUT_FOLDER [--only FAMILY] [--pixels-only | --models-only]
needs: numpy, torch, torchvision, pillow, num2words, transformers, gguf (tools/goldens/README.md)

FAMILY.pixels.json holds what the family's processor makes of the pictures of pictures.py, with the published settings of a
model. FAMILY.json and its GGUF files hold a random model with small settings, as llm.py makes them (same rules: a seed is
rejected until the greedy path is clear), its prompts with two pictures or a video in them, visual tokens and answers.
tests/golden/README.md describes the files. Weights: decoder.py fills the language model; here the encoder.
"""
import argparse
import copy
import json
import os
import zlib

import numpy as np
import torch
import transformers as hf
from gguf import GGMLQuantizationType as T
from PIL import Image
from tokenizers import AddedToken, Tokenizer, models
from transformers.video_utils import VideoMetadata

import decoder
import mmproj
from llm import MIN_BLUNDER, MIN_DISTINCT, MIN_GAP, STEPS, TOP, rope
from pictures import picture
from tokenizer import BPE, bpe_pipeline
from tokens import byte_tokens

HALF, CLIP = [0.5] * 3, ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
WORDS = ['Say', 'Tell', 'Why', 'Where', 'Who', 'red', 'left', 'page', 'no', 'it', 'and', 'up', 'one', 'good', 'far', 'sun']
MERGES = ['Ġ t', 'h e', 'Ċ Ċ', 'Ġt he', '2 5', '0 0', 'i n']


# ---- tokenizers -----------------------------------------------------------------------------------------------------

class Words:
    """A byte-level tokenizer with a few merges and the family's control tokens, for transformers and for GGUF."""

    def __init__(self, pre, control, bos, eos):
        self.pre, self.control, self.bos, self.eos = pre, control, bos, eos
        self.tokens = byte_tokens() + [''.join(m.split(' ')) for m in MERGES] + control
        self.n_plain = len(self.tokens) - len(control)
        self.n_vocab = -(-len(self.tokens) // 32) * 32

    def id(self, token):
        return self.tokens.index(token)

    def fast(self, **more):
        vocab = {t: i for i, t in enumerate(self.tokens[:self.n_plain])}
        t = bpe_pipeline(next(f for f in BPE if f.pre == self.pre), models.BPE(vocab, [tuple(m.split(' ')) for m in MERGES]))
        t.add_special_tokens([AddedToken(c, normalized=False, special=True) for c in self.control])
        t = hf.PreTrainedTokenizerFast(tokenizer_object=t, bos_token=self.bos, eos_token=self.eos, **more)
        assert [t.convert_tokens_to_ids(c) for c in self.control] == [self.id(c) for c in self.control]
        return t

    def write(self, w):
        import gguf
        pad = [f'[PAD{i}]' for i in range(len(self.tokens), self.n_vocab)]
        w.add_tokenizer_model('gpt2')
        w.add_tokenizer_pre(self.pre)
        w.add_token_list(self.tokens + pad)
        w.add_token_types([gguf.TokenType.NORMAL] * self.n_plain + [gguf.TokenType.CONTROL] * len(self.control) +
                          [gguf.TokenType.UNUSED] * len(pad))
        w.add_token_merges(MERGES)
        w.add_bos_token_id(self.id(self.bos))
        w.add_eos_token_id(self.id(self.eos))
        w.add_add_bos_token(False)


# ---- what a prompt consists of ----------------------------------------------------------------------------------------

class Film:
    """Frames of a video that has `total` frames at `fps`; pictures of one size, one for each sampled frame."""

    def __init__(self, kind, width, height, fps, total):
        self.kind, self.width, self.height, self.fps, self.total = kind, width, height, fps, total

    def metadata(self):
        return VideoMetadata(total_num_frames=self.total, fps=self.fps, width=self.width, height=self.height,
                             duration=self.total / self.fps)

    def frame(self, index):
        """The seed of frame i is i."""
        return picture(self.kind, self.width, self.height, index)

    def json(self):
        return [self.kind, self.width, self.height, self.fps, self.total]


class Case:
    def __init__(self, name, prompt, images=(), films=()):
        self.name, self.prompt, self.images, self.films = name, prompt, images, films


# ---- families -------------------------------------------------------------------------------------------------------

class SmolVideo(hf.SmolVLMVideoProcessor):
    """With Lanczos as the processor's settings say. torchvision before 0.27 has none and takes bicubic in its place."""

    def resize(self, video, size, resample=None, antialias=True, **kwargs):
        from transformers.models.smolvlm.video_processing_smolvlm import get_resize_output_image_size
        shape = video.shape
        h, w = get_resize_output_image_size(video, size.longest_edge)
        side = self.max_image_size['longest_edge']
        out = []
        for f in video.reshape(-1, *shape[-3:]):
            i = Image.fromarray(f.permute(1, 2, 0).numpy())
            i = i.resize((w, h), Image.LANCZOS).resize((side, side), Image.LANCZOS)
            out.append(torch.from_numpy(np.array(i)).permute(2, 0, 1))
        return torch.stack(out).reshape(*shape[:-2], side, side)


class Idefics3:
    name = 'idefics3'
    marks = ('<image>', '<video>')
    eps = 1e-6
    words = Words('smollm', ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<end_of_utterance>', '<fake_token_around_image>',
                             '<global-img>', '<image>'] + [f'<row_{r}_col_{c}>' for r in range(1, 7) for c in range(1, 7)],
                  '<|im_start|>', '<end_of_utterance>')
    small = dict(longest=192, tile=48)
    published = {'SmolVLM2-256M': dict(longest=2048, tile=512), 'SmolVLM2-2.2B': dict(longest=1536, tile=384)}
    sizes = [('photo', 640, 480), ('text', 850, 1100), ('photo', 1, 1), ('photo', 3, 2), ('photo', 4096, 4096), ('text', 3000, 40),
             ('photo', 30, 2000), ('photo', 512, 512), ('black', 64, 64), ('photo', 1921, 1081)]
    films = [Film('photo', 320, 180, 30.0, 90)]
    cases = [
        Case('images', '<|im_start|>User:<image>The first, then <image>the second?{}<end_of_utterance>\nAssistant:',
             [('photo', 100, 40, 1), ('text', 30, 120, 2)]),
        Case('video', '<|im_start|>User: <video>What happens?{}<end_of_utterance>\nAssistant:', films=[Film('photo', 80, 60, 10.0, 83)]),
    ]

    def processor(self, longest, tile):
        image = hf.SmolVLMImageProcessorPil(size={'longest_edge': longest}, max_image_size={'longest_edge': tile}, image_mean=HALF,
                                            image_std=HALF)
        video = SmolVideo(size={'longest_edge': tile}, max_image_size={'longest_edge': tile}, image_mean=HALF, image_std=HALF,
                          do_sample_frames=True, video_sampling=dict(fps=1, max_frames=64, video_size={'longest_edge': tile}))
        patch, scale = 8, 2
        return hf.SmolVLMProcessor(image, self.words.fast(), video, image_seq_len=(tile // patch // scale) ** 2)

    def model(self):
        text = dict(vocab_size=self.words.n_vocab, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_parameters=rope(100000.0),
                    pad_token_id=0, bos_token_id=1, eos_token_id=2, model_type='llama')
        vision = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3, image_size=48, patch_size=8,
                      layer_norm_eps=self.eps)
        cfg = hf.SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=2, image_token_id=self.words.id('<image>'),
                               tie_word_embeddings=True, pad_token_id=0)
        return hf.SmolVLMForConditionalGeneration(cfg)

    def parts(self, model):
        """The language model, and the parameters of encoder and connector by name."""
        m = model.model
        vision = [(n.replace('encoder.', ''), p) for n, p in m.vision_model.named_parameters()]
        return m.text_model, vision + list(m.connector.named_parameters())

    @torch.no_grad()
    def visual(self, model, given):
        """Visual tokens [n, d * (1 + deepstack)] of all media in order."""
        out = model.model.get_image_features(given['pixel_values'], given['pixel_attention_mask'])
        return torch.cat(out.pooler_output)

    def keys(self, w, model):
        v = model.config.vision_config
        w.add_clip_projector_type('idefics3')
        w.add_vision_projection_dim(model.config.text_config.hidden_size)
        w.add_vision_image_size(v.image_size)
        w.add_vision_patch_size(v.patch_size)
        w.add_vision_embedding_length(v.hidden_size)
        w.add_vision_feed_forward_length(v.intermediate_size)
        w.add_vision_block_count(v.num_hidden_layers)
        w.add_vision_head_count(v.num_attention_heads)
        w.add_vision_image_mean(HALF)
        w.add_vision_image_std(HALF)
        w.add_vision_attention_layernorm_eps(v.layer_norm_eps)
        w.add_vision_projector_scale_factor(model.config.scale_factor)
        w.add_vision_preproc_image_size(self.small['longest'])
        w.add_vision_use_gelu(True)

    def write_mmproj(self, path, model, kind):
        params = [(n, p.detach().numpy()) for n, p in self.parts(model)[1]]
        mmproj.write(path, self.name, params, kind, lambda w: self.keys(w, model), f32=('v.patch_embd', 'v.position_embd'))

    arch = 'llama'
    n_deepstack = 0
    tied = True

    def positions(self, model, given):
        return None

    def bytes_of(self, given):
        """Processor output -> RGB bytes [pieces, h, w, 3], the normalised values in the same order, what it says about each medium."""
        x = given['pixel_values'][0].permute(0, 2, 3, 1).numpy().astype(np.float64)
        return to_bytes(x, HALF, HALF), x

    def about_image(self, processor, source):
        given = processor.image_processor([[Image.fromarray(picture(*source))]], return_row_col_info=True)
        return {'rows': given['rows'][0][0], 'cols': given['cols'][0][0]}

    def sampling(self, processor, film):
        return {}

    def asked(self, rng):
        """What somebody asks for: a picture that isn't cut, and fewer tokens by a smaller longest edge."""
        for model, settings in self.published.items():
            tile = settings['tile']
            for source in (['photo', 640, 480, 1], ['text', 300, 900, 2]):
                for edge, more in ((settings['longest'], dict(do_image_splitting=False)), (2 * tile, {})):
                    given = self.processor(edge, tile).image_processor([[Image.fromarray(picture(*source))]], return_tensors='pt',
                                                                       return_row_col_info=True, **more)
                    asked = {'whole': True} if more else {'max_tokens': given['pixel_values'].shape[1] * (64 if tile == 512 else 81)}
                    yield {'model': model, 'settings': settings, **asked, 'picture': source, 'rows': given['rows'][0][0],
                           'cols': given['cols'][0][0], **pixels(self, given, rng)}

    nested = True
    own_pictures = True
    image_args = dict(return_row_col_info=True)
    pads = ('<image>',)

    def pad_ids(self):
        return [self.words.id(p) for p in self.pads]


class Qwen:
    """What the Qwen families share. Videos are limited as Qwen's own code does it: cap_pixels_per_frame."""
    nested, image_args = False, {}
    own_pictures = True
    pads = ('<|image_pad|>', '<|video_pad|>')
    words = Words('qwen2', ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>', '<|vision_pad|>',
                            '<|image_pad|>', '<|video_pad|>'], '<|endoftext|>', '<|im_end|>')
    sizes = [('photo', 640, 480), ('text', 850, 1100), ('photo', 1, 1), ('photo', 3, 2), ('photo', 4096, 4096), ('text', 3000, 40),
             ('photo', 30, 2000), ('photo', 448, 448), ('black', 64, 64), ('photo', 1921, 1081), ('photo', 1040, 1008), ('photo', 70, 126)]
    mean, std = CLIP
    n_deepstack = 0
    split_qkv = True
    arch = 'qwen2vl'
    tied = False  # as the larger models; tied and as small as here they repeat themselves
    chat = '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n'
    cases = [
        Case('images', chat.replace('{}', 'One:<|vision_start|><|image_pad|><|vision_end|>, and then '
                                    '<|vision_start|><|image_pad|><|vision_end|>the second?{}'),
             [('photo', 150, 90, 1), ('text', 60, 130, 2)]),
        Case('video', chat.replace('{}', 'See <|vision_start|><|video_pad|><|vision_end|>What happens?{}'),
             films=[Film('photo', 96, 70, 8.0, 20)]),
    ]
    film_sizes = [(2, 1280, 720), (5, 1280, 720), (64, 1920, 1080), (768, 1920, 1080), (300, 640, 360), (7, 20, 30), (4, 100, 2000), (3, 3000, 200)]

    def processor(self, min_pixels, max_pixels, patch):
        like = dict(patch_size=patch, image_mean=self.mean, image_std=self.std)
        image = hf.Qwen2VLImageProcessor(size={'shortest_edge': min_pixels, 'longest_edge': max_pixels}, **like)
        video = self.video_class(cap_pixels_per_frame=True, **self.video_args, **like)
        return self.processor_class(image, self.words.fast(), video)

    def text_config(self):
        return dict(vocab_size=self.words.n_vocab, hidden_size=64, intermediate_size=96, num_hidden_layers=2, max_position_embeddings=4096,
                    pad_token_id=None, bos_token_id=None, eos_token_id=None, tie_word_embeddings=self.tied)

    def token_ids(self):
        return {f'{k}_token_id': self.words.id(f'<|{v}|>') for k, v in
                dict(image='image_pad', video='video_pad', vision_start='vision_start', vision_end='vision_end').items()}

    def parts(self, model):
        return model.model.language_model, list(model.model.visual.named_parameters())

    @torch.no_grad()
    def visual(self, model, given):
        if 'pixel_values' in given:
            out = model.model.get_image_features(given['pixel_values'], given['image_grid_thw'])
        else:
            out = model.model.get_video_features(given['pixel_values_videos'], given['video_grid_thw'])
        slices = [torch.cat(out.pooler_output)] + [torch.cat(f) for f in getattr(out, 'deepstack_features', None) or []]
        return torch.cat(slices, 1)

    def positions(self, model, given):
        keys = ('input_ids', 'mm_token_type_ids', 'image_grid_thw', 'video_grid_thw', 'second_per_grid_ts')
        return model.model.get_rope_index(**{k: given[k] for k in keys if k in given})[0][:, 0].tolist()

    def bytes_of(self, given):
        """RGB of all frames, pair after pair; a still is its own pair."""
        m, out = 2, []
        for kind, grids in (('pixel_values', 'image_grid_thw'), ('pixel_values_videos', 'video_grid_thw')):
            at = 0
            for t, h, w in given[grids].tolist() if kind in given else []:
                x = given[kind][at:at + t * h * w].numpy()
                at += len(x)
                p = int((x.shape[1] / 6) ** 0.5)
                x = x.reshape(t, h // m, w // m, m, m, 3, 2, p, p).transpose(0, 6, 1, 3, 7, 2, 4, 8, 5)
                out.append(x.reshape(-1, 3))
        x = np.concatenate(out).astype(np.float64)
        return to_bytes(x, np.array(self.mean), np.array(self.std)), x

    def asked(self, rng):
        """Fewer tokens by a smaller longest_edge, which is a number of pixels here."""
        for model, settings in self.published.items():
            token = (2 * settings['patch']) ** 2
            for source, n in ((['photo', 640, 480, 1], 100), (['text', 850, 1100, 2], 256), (['photo', 640, 480, 1], 16)):
                least = min(settings['min_pixels'], n * token)
                given = self.processor(least, n * token, settings['patch']).image_processor(Image.fromarray(picture(*source)),
                                                                                            return_tensors='pt')
                yield {'model': model, 'settings': settings, 'max_tokens': n, 'picture': source, **pixels(self, given, rng)}

    def about_image(self, processor, source):
        return {}

    def sampling(self, processor, film):
        return {'fps': 2}

    def film_size(self, processor, n, width, height):
        """The size of a film's frames: what `resize` asks its base for."""
        class Asked(Exception):
            pass

        def ask(self, image, size, resample):
            raise Asked(size)
        kept, hf.video_processing_utils.BaseVideoProcessor.resize = hf.video_processing_utils.BaseVideoProcessor.resize, ask
        v = processor.video_processor
        try:
            v.resize(torch.empty(1, n, 3, height, width, device='meta'), size=v.size, resample=None, factor=v.patch_size * v.merge_size,
                     temporal_factor=v.temporal_patch_size, cap_pixels_per_frame=True)
        except Asked as e:
            return [e.args[0].width, e.args[0].height]
        finally:
            hf.video_processing_utils.BaseVideoProcessor.resize = kept

    def keys(self, w, model):
        v = model.config.vision_config
        w.add_clip_projector_type(self.projector)
        w.add_vision_projection_dim(model.config.text_config.hidden_size)
        w.add_vision_image_size(self.image_size)
        w.add_vision_patch_size(v.patch_size)
        w.add_vision_block_count(v.depth)
        w.add_vision_head_count(v.num_heads)
        w.add_vision_image_mean(self.mean)
        w.add_vision_image_std(self.std)
        w.add_vision_attention_layernorm_eps(1e-6)

    def write_mmproj(self, path, model, kind):
        params = [(n, p.detach().numpy()) for n, p in self.parts(model)[1]]
        mmproj.write(path, self.name, params, kind, lambda w: self.keys(w, model), deepstack=getattr(self, 'deepstack', ()),
                     split_qkv=self.split_qkv, f32=('v.position_embd',))

    def pad_ids(self):
        return [self.words.id(p) for p in self.pads]


class Qwen3VL(Qwen):
    name, projector, arch, tied = 'qwen3vl', 'qwen3vl_merger', 'qwen3vl', True
    processor_class, video_class = hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor
    video_args = dict(size={'shortest_edge': 4096, 'longest_edge': 25165824})
    mean, std = HALF, HALF
    small = dict(min_pixels=8192, max_pixels=1 << 20, patch=16)
    published = {'Qwen3-VL-2B': dict(min_pixels=65536, max_pixels=16777216, patch=16)}
    deepstack, n_deepstack, split_qkv, image_size = (0, 2), 2, False, 128
    # The families' own processor (transformers 4.57) puts the pairs of frames in the place of the template's <|vision_start|>, pad and
    # <|vision_end|>; 5.23 in the place of the pad alone, and leaves a second pair of marks around all. Here the pad stands alone.
    cases = [Qwen.cases[0], Case('video', Qwen.cases[1].prompt.replace('<|vision_start|><|video_pad|><|vision_end|>', '<|video_pad|>'),
                                 films=Qwen.cases[1].films)]

    def model(self):
        text = dict(self.text_config(), num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-6,
                    rope_parameters=rope(500.0, mrope_section=[8, 4, 4], mrope_interleaved=True))
        vision = dict(depth=3, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=16, out_hidden_size=64,
                      num_position_embeddings=(self.image_size // 16) ** 2, deepstack_visual_indexes=list(self.deepstack))
        return hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=self.tied,
                                                                   **self.token_ids()))

    def keys(self, w, model):
        super().keys(w, model)
        v = model.config.vision_config
        w.add_vision_embedding_length(v.hidden_size)
        w.add_vision_feed_forward_length(v.intermediate_size)
        w.add_vision_use_gelu(True)
        w.add_vision_spatial_merge_size(v.spatial_merge_size)
        w.add_vision_is_deepstack_layers([i in self.deepstack for i in range(v.depth)])
        w.add_vision_min_pixels(self.small['min_pixels'])
        w.add_vision_max_pixels(self.small['max_pixels'])


class Qwen2VL(Qwen):
    name, projector, image_size = 'qwen2vl', 'qwen2vl_merger', 560
    processor_class, video_class, video_args = hf.Qwen2VLProcessor, hf.Qwen2VLVideoProcessor, {}
    small = dict(min_pixels=3136, max_pixels=12845056, patch=14)
    published = {'Qwen2-VL-2B': small}
    depth = 2

    def text_config(self):
        return dict(super().text_config(), num_attention_heads=2, num_key_value_heads=1, rms_norm_eps=1e-6,
                    rope_parameters=rope(1000.0, mrope_section=[4, 6, 6]))

    def model(self):
        vision = dict(depth=self.depth, embed_dim=32, hidden_size=64, mlp_ratio=3, num_heads=2, patch_size=14)
        return hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(text_config=self.text_config(), vision_config=vision,
                                                                   tie_word_embeddings=self.tied, **self.token_ids()))

    def keys(self, w, model):
        super().keys(w, model)
        v = model.config.vision_config
        w.add_vision_embedding_length(v.embed_dim)
        w.add_vision_feed_forward_length(v.hidden_size)  # the converter takes the language model's width for it


class Qwen25VL(Qwen2VL):
    name, projector = 'qwen2.5vl', 'qwen2.5vl_merger'
    processor_class = hf.Qwen2_5_VLProcessor
    published = {'Qwen2.5-VL-3B': Qwen2VL.small}
    own_pictures = False  # Qwen2-VL's processor
    cases = [Case(Qwen.cases[0].name, Qwen.cases[0].prompt, [('photo', 150, 170, 1), ('text', 60, 130, 2)]), Qwen.cases[1]]

    def model(self):
        vision = dict(depth=4, hidden_size=32, intermediate_size=48, num_heads=2, patch_size=14, out_hidden_size=64, window_size=112,
                      fullatt_block_indexes=[1, 3], tokens_per_second=2)
        return hf.Qwen2_5_VLForConditionalGeneration(hf.Qwen2_5_VLConfig(text_config=self.text_config(), vision_config=vision,
                                                                         tie_word_embeddings=self.tied, **self.token_ids()))

    def keys(self, w, model):
        Qwen.keys(self, w, model)
        v = model.config.vision_config
        w.add_vision_embedding_length(v.hidden_size)
        w.add_vision_feed_forward_length(v.intermediate_size)
        w.add_vision_use_silu(True)
        w.add_vision_n_wa_pattern(v.fullatt_block_indexes[0] + 1)


class InternVideo(hf.InternVLVideoProcessor):
    """A frame a second, 8 to 32 of them: the processor wants to be told how many, and the models' card takes 8 to 32."""

    def sample_frames(self, metadata, **kwargs):
        n = min(max(round(metadata.total_num_frames / metadata.fps), 8), 32, metadata.total_num_frames)
        return super().sample_frames(metadata, num_frames=n)


class InternVL:
    name, arch, n_deepstack, tied = 'internvl', 'qwen2', 0, False
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    words = Words('qwen2', ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<img>', '</img>', '<IMG_CONTEXT>', '<video>'], '<|endoftext|>',
                  '<|im_end|>')
    nested, image_args, own_pictures = False, dict(crop_to_patches=True), True
    small = dict(tile=48, tiles=4)
    published = {'InternVL3-2B': dict(tile=448, tiles=12)}
    sizes = [('photo', 640, 480), ('text', 850, 1100), ('photo', 1, 1), ('photo', 3, 2), ('photo', 4096, 4096), ('text', 3000, 40),
             ('photo', 30, 2000), ('photo', 448, 448), ('black', 64, 64), ('photo', 1921, 1081), ('photo', 700, 700)]
    chat = '<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n'
    cases = [
        Case('images', chat.replace('{}', '<IMG_CONTEXT>\nThe first, then <IMG_CONTEXT>\nthe second?{}'),
             [('photo', 100, 40, 1), ('text', 50, 52, 2)]),
        Case('video', chat.replace('{}', '<video>\nWhat happens?{}'), films=[Film('photo', 80, 60, 10.0, 83)]),
    ]

    def processor(self, tile, tiles):
        like = dict(size={'height': tile, 'width': tile}, image_mean=self.mean, image_std=self.std)
        tokenizer = self.words.fast()
        for name, token in dict(start_image_token='<img>', end_image_token='</img>', context_image_token='<IMG_CONTEXT>',
                                video_token='<video>').items():
            setattr(tokenizer, name, token)
            setattr(tokenizer, name + '_id', self.words.id(token))
        return hf.InternVLProcessor(hf.GotOcr2ImageProcessor(min_patches=1, max_patches=tiles, **like), tokenizer, InternVideo(**like),
                                    image_seq_length=(tile // 8 // 2) ** 2)

    def model(self):
        text = dict(model_type='qwen2', vocab_size=self.words.n_vocab, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                    num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=4096, rms_norm_eps=1e-6, pad_token_id=None,
                    bos_token_id=None, eos_token_id=None, rope_parameters=rope(1000000.0), tie_word_embeddings=self.tied)
        vision = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3, attention_bias=True,
                      image_size=(48, 48), patch_size=(8, 8))
        return hf.InternVLForConditionalGeneration(hf.InternVLConfig(text_config=text, vision_config=vision, tie_word_embeddings=self.tied,
                                                                     image_token_id=self.words.id('<IMG_CONTEXT>')))

    def parts(self, model):
        def named(n):
            n = n.replace('encoder.', '')
            return n + '.weight' if n.endswith(('position_embeddings', 'lambda_1', 'lambda_2')) else n
        m = model.model
        vision = [*m.vision_tower.named_parameters(), *m.multi_modal_projector.named_parameters()]
        return m.language_model, [(named(n), p) for n, p in vision]

    @torch.no_grad()
    def visual(self, model, given):
        return model.model.get_image_features(given['pixel_values'], vision_feature_layer=-1,
                                              vision_feature_select_strategy='default').pooler_output.flatten(0, 1)

    def keys(self, w, model):
        v = model.config.vision_config
        w.add_clip_projector_type('internvl')
        w.add_vision_projection_dim(model.config.text_config.hidden_size)
        w.add_vision_image_size(v.image_size[0])
        w.add_vision_patch_size(v.patch_size[0])
        w.add_vision_embedding_length(v.hidden_size)
        w.add_vision_feed_forward_length(v.intermediate_size)
        w.add_vision_block_count(v.num_hidden_layers)
        w.add_vision_head_count(v.num_attention_heads)
        w.add_vision_image_mean(self.mean)
        w.add_vision_image_std(self.std)
        w.add_vision_attention_layernorm_eps(v.layer_norm_eps)
        w.add_vision_use_gelu(True)
        w.add_vision_projector_scale_factor(2)
        w.add_uint32('clip.vision.preproc_min_tiles', 1)
        w.add_uint32('clip.vision.preproc_max_tiles', self.small['tiles'])

    def write_mmproj(self, path, model, kind):
        params = [(n, p.detach().numpy()) for n, p in self.parts(model)[1]]
        mmproj.write(path, self.name, params, kind, lambda w: self.keys(w, model), f32=('v.position_embd', 'v.class_embd'))

    def positions(self, model, given):
        return None

    def bytes_of(self, given):
        x = given['pixel_values'].permute(0, 2, 3, 1).numpy().astype(np.float64)
        return to_bytes(x, np.array(self.mean), np.array(self.std)), x

    def about_image(self, processor, source):
        from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas
        p = processor.image_processor
        cols, rows = get_optimal_tiled_canvas((source[2], source[1]), (p.size['height'], p.size['width']), 1, p.max_patches)
        return {'rows': rows, 'cols': cols} if rows * cols > 1 else {'rows': 0, 'cols': 0}

    def sampling(self, processor, film):
        return {}

    def asked(self, rng):
        """A picture that isn't cut, and fewer tokens by fewer tiles."""
        for model, settings in self.published.items():
            for source in (['photo', 640, 480, 1], ['text', 300, 900, 2]):
                for tiles in (1, 3):
                    processor = self.processor(settings['tile'], tiles)
                    given = processor.image_processor(Image.fromarray(picture(*source)), return_tensors='pt', **self.image_args)
                    asked = {'whole': True} if tiles == 1 else {'max_tokens': (tiles + 1) * 256}
                    yield {'model': model, 'settings': settings, **asked, 'picture': source, **self.about_image(processor, source),
                           **pixels(self, given, rng)}

    pads = ('<IMG_CONTEXT>',)

    def pad_ids(self):
        return [self.words.id(p) for p in self.pads]


FAMILIES = [Idefics3(), Qwen3VL(), Qwen2VL(), Qwen25VL(), InternVL()]


# ---- pixels ---------------------------------------------------------------------------------------------------------

def to_bytes(x, mean, std):
    """Normalised values [..., 3] -> the bytes that they come from; they must be bytes to a rounding error."""
    v = (x * std + mean) * 255
    b = np.rint(v)
    assert np.abs(v - b).max() < 1e-3 and b.min() >= 0 and b.max() <= 255
    return b.astype(np.uint8)


def pixels(family, given, rng):
    """Shape [pieces, h, w, 3], a checksum of the bytes and some values as the processor gives them, by index."""
    b, x = family.bytes_of(given)
    at = np.sort(rng.choice(x.size, min(24, x.size), replace=False))
    return {'shape': list(x.shape), 'crc32': zlib.crc32(b.tobytes()), 'values': [[int(i), round(float(x.flat[i]), 6)] for i in at]}


def run_processor(family, processor, case):
    images = [Image.fromarray(picture(*i)) for i in case.images]
    films, sampled = [], []
    for f in case.films:
        indices = processor.video_processor.sample_frames(f.metadata(), **family.sampling(processor, f))
        sampled.append([int(i) for i in indices])
        films.append(np.stack([f.frame(i) for i in sampled[-1]]).transpose(0, 3, 1, 2))  # where 1 or 3 rows aren't taken for colours
    args = dict(text=case.prompt, return_tensors='pt')
    if images:
        args['images'] = images
    if films:
        meta = [f.metadata() for f in case.films]
        for m, s in zip(meta, sampled):
            m.frames_indices = s
        args.update(videos=films, video_metadata=meta, do_sample_frames=False)
    return processor(**args), sampled


def make_pixels(family, out):
    rng = np.random.default_rng(1)
    done = []
    for model, settings in family.published.items():
        processor = family.processor(**settings)
        for size in family.sizes:
            source = [*size, len(done) % 7]
            given = processor.image_processor([[Image.fromarray(picture(*source))]] if family.nested else Image.fromarray(picture(*source)),
                                              return_tensors='pt', **family.image_args)
            done.append({'model': model, 'settings': settings, 'picture': source, **family.about_image(processor, source), **pixels(family, given, rng)})
            print(family.name, model, source, done[-1]['shape'])
    done += family.asked(np.random.default_rng(3))
    with open(os.path.join(out, f'{family.name}.pixels.json'), 'w') as f:
        f.write(f'{{\n"family": "{family.name}",\n"made_with": "transformers {hf.__version__}",\n"cases": [\n' +
                ',\n'.join(json.dumps(d) for d in done) + '\n]\n}\n')


SAMPLED = [(30.0, 90), (29.97, 1000), (25.0, 25 * 3600), (24.0, 7), (10.0, 3), (1.0, 100), (60.0, 3601), (30.0, 1), (12.5, 777), (30.0, 2100)]


def make_videos(family, out):
    """Which frames of a film of so many frames are taken; the size of a film's frames."""
    processor = family.processor(**next(iter(family.published.values())))
    sampling = []
    for fps, total in SAMPLED:
        meta = VideoMetadata(total_num_frames=total, fps=fps, duration=total / fps)
        try:
            frames = [int(i) for i in processor.video_processor.sample_frames(meta, **family.sampling(processor, None))]
        except (ValueError, RuntimeError, ZeroDivisionError):
            continue  # Qwen2-VL needs two frames
        sampling.append({'fps': fps, 'total': total, 'frames': frames if len(frames) <= 100 else None, 'n': len(frames), 'crc32':
                         zlib.crc32(np.array(frames, '<i4').tobytes())})
    sizes = []
    for n, w, h in getattr(family, 'film_sizes', []):
        sizes.append({'n': n, 'width': w, 'height': h, 'becomes': family.film_size(processor, n, w, h)})
    with open(os.path.join(out, f'{family.name}.videos.json'), 'w') as f:
        f.write(f'{{\n"family": "{family.name}",\n"made_with": "transformers {hf.__version__}",\n"sampling": [\n' +
                ',\n'.join(json.dumps(d) for d in sampling) + '\n],\n"sizes": [\n' + ',\n'.join(json.dumps(d) for d in sizes) + '\n]\n}\n')


# ---- models ---------------------------------------------------------------------------------------------------------

def fill_vision(params, rng, d_text):
    """Matrices keep the size of what they get, biases and norms show when they are left out (decoder.py says why)."""
    def normal(shape, std):
        return torch.from_numpy((rng.standard_normal(tuple(shape)) * std).astype(np.float32))

    with torch.no_grad():
        for name, p in sorted(params, key=lambda it: it[0]):
            if name.endswith('bias'):
                p.copy_(normal(p.shape, 0.3))
            elif p.ndim == 1:
                p.copy_(1 + normal(p.shape, 0.2))
            elif 'pos' in name.split('.')[-2]:
                p.copy_(normal(p.shape, 0.7).half().float())
            else:
                n_in = p[0].numel()
                last = p.shape[0] == d_text and not name.startswith(('blocks', 'layers', 'patch', 'embed'))
                p.copy_(normal(p.shape, (0.5 if last else 1.2) / n_in ** 0.5).half().float())


class Text:
    """What decoder.write_gguf wants to know."""

    def __init__(self, family):
        self.name, self.arch, self.n_deepstack, self.words = family.name, family.arch, family.n_deepstack, family.words


@torch.no_grad()
def logprobs(family, model, given, ids, n):
    """Log-probabilities after each of the last n of `ids` [n, n_vocab]."""
    more = len(ids) - given['input_ids'].shape[1]
    args = dict(given)
    args['input_ids'] = torch.tensor([ids])
    args['attention_mask'] = torch.ones_like(args['input_ids'])
    if 'mm_token_type_ids' in args:
        args['mm_token_type_ids'] = torch.nn.functional.pad(args['mm_token_type_ids'], (0, more))
    for k in ('rows', 'cols', 'video_metadata'):
        args.pop(k, None)
    logits = model(**args, use_cache=False).logits[0, -n:]
    return torch.log_softmax(logits.double(), -1).numpy()


class Prompt:
    """A case's tokens as rows of the language model, with the visual tokens in place: the encoder runs once."""

    def __init__(self, family, model, text, given):
        self.text = text
        self.ids = given['input_ids'][0]
        self.rows = family.visual(model, given)
        self.mask = torch.tensor([i in family.pad_ids() for i in self.ids.tolist()])
        assert int(self.mask.sum()) == len(self.rows), (int(self.mask.sum()), self.rows.shape)
        position = family.positions(model, given)
        self.position = torch.arange(len(self.ids))[None] if position is None else torch.tensor(position)

    @torch.no_grad()
    def feed(self, cache, x, position, deep=None):
        """Log-probabilities behind the last of the rows x [n, d] at positions [axes, n]."""
        args = dict(inputs_embeds=x[None], past_key_values=cache, use_cache=True)
        args['position_ids'] = position[0][None] if len(position) == 1 else position[:, None]
        if deep is not None:
            args.update(visual_pos_masks=deep[0][None], deepstack_visual_embeds=list(deep[1]))
        h = self.text.body(**args).last_hidden_state[0, -1]
        head = self.text.body.embed_tokens.weight if self.text.tied() else self.text.head
        return torch.log_softmax((h @ head.T).double(), -1).numpy()

    def start(self, n):
        """Reads the first n tokens, which stay the same: the visual ones are among them."""
        d = self.text.body.config.hidden_size
        x = self.text.body.embed_tokens.weight[self.ids[:n]].detach().clone()
        mask = self.mask[:n]
        assert int(mask.sum()) == len(self.rows)
        x[mask] = self.rows[:, :d]
        deep = (mask, self.rows[:, d:].reshape(len(self.rows), -1, d).swapaxes(0, 1)) if self.rows.shape[1] > d else None
        self.cache = hf.DynamicCache()
        self.feed(self.cache, x, self.position[:, :n], deep)
        self.position = self.position[:, :n]

    def greedy(self, family, more):
        """Ids and log-probabilities of the steps behind the tokens `more`, or None where the path isn't clear or a picture's token
        is chosen."""
        chosen, steps, cache, next_ids, at = [], [], copy.deepcopy(self.cache), more, int(self.position.max()) + 1
        for _ in range(STEPS):
            position = (at + torch.arange(len(next_ids))).expand(len(self.position), -1)
            at += len(next_ids)
            steps.append(self.feed(cache, self.text.body.embed_tokens.weight[next_ids], position))
            chosen.append(int(steps[-1].argmax()))
            next_ids = chosen[-1:]
            if np.diff(np.sort(steps[-1])[-2:])[0] < MIN_GAP or chosen[-1] in family.pad_ids():
                return None
        return (chosen, np.stack(steps)) if len(set(chosen)) >= MIN_DISTINCT else None


def clear_path(family, model, text, processor, case):
    """The case with the first words in the prompt's gap {} that lead to a clear path."""
    given, _ = run_processor(family, processor, Case(case.name, case.prompt.replace('{}', ''), case.images, case.films))
    prompt = Prompt(family, model, text, dict(given))
    tail = processor.tokenizer(case.prompt.split('{}')[1])['input_ids']
    prompt.start(len(prompt.ids) - len(tail))
    for a in WORDS:
        for b in WORDS:
            more = processor.tokenizer(f' {a} {b}.')['input_ids'] + tail
            found = prompt.greedy(family, more)
            if found:
                tried = Case(case.name, case.prompt.replace('{}', f' {a} {b}.'), case.images, case.films)
                given, sampled = run_processor(family, processor, tried)
                assert given['input_ids'][0].tolist() == prompt.ids[:-len(tail)].tolist() + more
                return tried, given, sampled, prompt, *found
    return None


def search(family, processor):
    """The first seed that has a clear path for every case."""
    for seed in range(1, 100):
        rng = np.random.default_rng(seed)
        model = family.model().float().eval()
        model.set_attn_implementation('eager')
        body, vision = family.parts(model)
        text = decoder.Model(body, None if family.tied else torch.zeros(0))
        decoder.fill(text, rng)
        fill_vision(vision, rng, body.config.hidden_size)
        if family.tied:
            model.tie_weights()
        else:
            with torch.no_grad():
                model.lm_head.weight.copy_(text.head)
        found = []
        for case in family.cases:
            found.append(clear_path(family, model, text, processor, case))
            if not found[-1]:
                break
        else:
            return seed, model, text, found
    raise SystemExit(f'{family.name}: no seed gives clear choices')


def black_pictures(given):
    return {k: torch.full_like(v, -1.0) if k in ('pixel_values', 'pixel_values_videos') else v for k, v in given.items()}


def make_model(family, out):
    processor = family.processor(**family.small)
    seed, model, text, found = search(family, processor)
    rng = np.random.default_rng(2)
    cases = []
    for case, g, sampled, prompt, chosen, steps in found:
        g = dict(g)
        ids = g['input_ids'][0].tolist()
        whole = logprobs(family, model, g, ids + chosen[:-1], STEPS)
        assert np.abs(whole - steps).max() < 2e-4, ('the whole model says otherwise', np.abs(whole - steps).max())
        wrong = logprobs(family, model, black_pictures(g), ids + chosen[:-1], STEPS)
        moved = max(np.abs(wrong - steps)[i, np.argsort(-steps[i])[:TOP]].max() for i in range(STEPS))
        assert moved >= MIN_BLUNDER, (case.name, 'black pictures', moved)
        rows = prompt.rows.numpy().astype('<f4')
        name = f'{family.name}.{case.name}.rows.f32'
        rows.tofile(os.path.join(out, name))
        steps = [{'id': i, 'top': [[int(t), round(float(s[t]), 5)] for t in np.argsort(-s)[:TOP]]} for i, s in zip(chosen, steps)]
        position = family.positions(model, g)
        cases.append({'name': case.name, 'prompt': case.prompt,
                      'images': [{'picture': list(i), **family.about_image(processor, i)} for i in case.images],
                      'films': [{'film': f.json(), 'frames': s} for f, s in zip(case.films, sampled)],
                      'pixels': pixels(family, g, rng), 'ids': ids, 'positions': position, 'rows_file': name,
                      'row_width': rows.shape[1], 'steps': steps})
        print(f'{family.name} {case.name}: seed {seed}, {len(ids)} tokens, {len(rows)} visual; black pictures move it by {moved:.2f}')
    with open(os.path.join(out, f'{family.name}.json'), 'w') as f:
        head = {'family': family.name, 'made_with': f'transformers {hf.__version__}', 'model': f'{family.name}.f16.gguf',
                'mmproj': f'{family.name}.mmproj.f16.gguf'}
        f.write('{\n' + ''.join(f'{json.dumps(k)}: {json.dumps(v)},\n' for k, v in head.items()) + '"cases": [\n')
        for i, c in enumerate(cases):
            f.write('{' + ',\n '.join(f'{json.dumps(k)}: {json.dumps(v)}' if k != 'steps' else
                                      '"steps": [\n  ' + ',\n  '.join(json.dumps(s) for s in v) + ']' for k, v in c.items()))
            f.write('}' + (',' if i + 1 < len(cases) else '') + '\n')
        f.write(']\n}\n')
    decoder.write_gguf(os.path.join(out, f'{family.name}.f16.gguf'), Text(family), text, T.F16)
    family.write_mmproj(os.path.join(out, f'{family.name}.mmproj.f16.gguf'), model, np.float16)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('--only')
    p.add_argument('--pixels-only', action='store_true')
    p.add_argument('--models-only', action='store_true')
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(1)
    for family in FAMILIES:
        if a.only in (None, family.name):
            if not a.models_only:
                make_videos(family, a.out)
                if family.own_pictures:
                    make_pixels(family, a.out)
            if not a.pixels_only:
                make_model(family, a.out)


if __name__ == '__main__':
    main()
