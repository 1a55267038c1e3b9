"""Vision encoders of odd shapes through pagereel, beside transformers: what no fixed golden has.

usage: odd_encoders.py [--pagereel build/cli/pagereel] [--devices ref,cpu,vulkan] [--first SEED] [--n N] [--keep FOLDER]
needs: what tools/goldens/vision.py needs

Each seed draws a family, its encoder's depth, widths, heads, patches, windows and DeepStack layers, whether its weights are f32 or f16,
and the size of a picture. The visual tokens of `pagereel embed` are compared with transformers' own: the root mean square of the
difference, relative, has to be below 1e-3. Prints a line for each, and ends with 1 if one is WRONG.
"""
import os

import numpy as np
import odd
import transformers as hf
from PIL import Image

import vision
from pictures import picture

BOUND = 1e-3


class Odd:
    """A family of vision.py with another encoder."""

    def configure(self, rng):
        self.d_text = int(rng.choice([32, 64, 96, 160]))
        self.depth = int(rng.integers(1, 5))
        self.heads = int(rng.choice([1, 2, 3, 5]))
        self.width = self.heads * 4 * int(rng.integers(1, 9))
        self.ff = 4 * int(rng.integers(3, 60))
        self.say = f'depth {self.depth} width {self.width} heads {self.heads} ff {self.ff} into {self.d_text}'

    def text(self):
        return dict(self.text_config(), hidden_size=self.d_text)


class OddIdefics3(Odd, vision.Idefics3):
    def configure(self, rng):
        super().configure(rng)
        self.patch, self.scale = int(rng.choice([4, 6, 8, 14])), int(rng.choice([1, 2, 3, 4]))
        self.tile = self.patch * self.scale * int(rng.integers(1, 5))
        self.small = dict(longest=self.tile * int(rng.integers(1, 5)), tile=self.tile)
        self.say += f' patch {self.patch} scale {self.scale} tile {self.tile} longest {self.small["longest"]}'

    def model(self):
        text = dict(vocab_size=self.words.n_vocab, hidden_size=self.d_text, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                    num_key_value_heads=1, rope_parameters=vision.rope(100000.0), pad_token_id=0, bos_token_id=1, eos_token_id=2, model_type='llama')
        encoder = dict(hidden_size=self.width, intermediate_size=self.ff, num_hidden_layers=self.depth, num_attention_heads=self.heads,
                       image_size=self.tile, patch_size=self.patch, layer_norm_eps=self.eps)
        return hf.SmolVLMForConditionalGeneration(hf.SmolVLMConfig(text_config=text, vision_config=encoder, scale_factor=self.scale, pad_token_id=0,
                                                                   image_token_id=self.words.id('<image>'), tie_word_embeddings=True))


class OddQwen3VL(Odd, vision.Qwen3VL):
    def configure(self, rng):
        super().configure(rng)
        self.small = dict(min_pixels=int(rng.choice([4096, 8192])), max_pixels=int(rng.choice([40000, 300000])), patch=16)
        self.image_size = 16 * int(rng.integers(2, 12))
        self.deepstack = sorted(rng.choice(self.depth, int(rng.integers(0, self.depth)), replace=False).tolist())
        self.say += f' deepstack {self.deepstack} table {self.image_size // 16}^2 pixels {self.small["min_pixels"]}-{self.small["max_pixels"]}'

    def model(self):
        text = dict(self.text(), num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
                    rope_parameters=vision.rope(500.0, mrope_section=[8, 4, 4], mrope_interleaved=True))
        encoder = dict(depth=self.depth, hidden_size=self.width, intermediate_size=self.ff, num_heads=self.heads, patch_size=16,
                       out_hidden_size=self.d_text, num_position_embeddings=(self.image_size // 16) ** 2, deepstack_visual_indexes=self.deepstack)
        return hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(text_config=text, vision_config=encoder, tie_word_embeddings=self.tied,
                                                                   **self.token_ids()))


class OddQwen2VL(Odd, vision.Qwen2VL):
    def model(self):
        ratio = max(1, self.ff // self.width)
        encoder = dict(depth=self.depth, embed_dim=self.width, hidden_size=self.d_text, mlp_ratio=ratio, num_heads=self.heads, patch_size=14)
        return hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(text_config=self.text(), vision_config=encoder, tie_word_embeddings=self.tied,
                                                                   **self.token_ids()))


class OddQwen25VL(Odd, vision.Qwen25VL):
    def configure(self, rng):
        super().configure(rng)
        self.every = int(rng.integers(1, self.depth + 1))  # each so many layers look at everything; files can't say more
        self.say += f' whole every {self.every}'

    def model(self):
        encoder = dict(depth=self.depth, hidden_size=self.width, intermediate_size=self.ff, num_heads=self.heads, patch_size=14,
                       out_hidden_size=self.d_text, window_size=112, fullatt_block_indexes=list(range(self.every - 1, self.depth, self.every)),
                       tokens_per_second=2)
        return hf.Qwen2_5_VLForConditionalGeneration(hf.Qwen2_5_VLConfig(text_config=self.text(), vision_config=encoder, tie_word_embeddings=self.tied,
                                                                         **self.token_ids()))


class OddInternVL(Odd, vision.InternVL):
    def configure(self, rng):
        super().configure(rng)
        self.patch = int(rng.choice([4, 6, 8, 14]))
        self.tile = self.patch * 2 * int(rng.integers(1, 6))
        self.small = dict(tile=self.tile, tiles=int(rng.integers(1, 13)))
        self.say += f' patch {self.patch} tile {self.tile} tiles {self.small["tiles"]}'

    def model(self):
        text = dict(model_type='qwen2', vocab_size=self.words.n_vocab, hidden_size=self.d_text, intermediate_size=32, num_hidden_layers=1,
                    num_attention_heads=2, num_key_value_heads=1, rope_parameters=vision.rope(1000000.0), pad_token_id=None, bos_token_id=None,
                    eos_token_id=None, tie_word_embeddings=self.tied)
        encoder = dict(hidden_size=self.width, intermediate_size=self.ff, num_hidden_layers=self.depth, num_attention_heads=self.heads,
                       attention_bias=True, image_size=(self.tile, self.tile), patch_size=(self.patch, self.patch))
        return hf.InternVLForConditionalGeneration(hf.InternVLConfig(text_config=text, vision_config=encoder, tie_word_embeddings=self.tied,
                                                                     image_token_id=self.words.id('<IMG_CONTEXT>')))


FAMILIES = [OddIdefics3, OddQwen3VL, OddQwen2VL, OddQwen25VL, OddInternVL]


def check(seed, a, folder):
    rng = np.random.default_rng([seed, 78])
    family = FAMILIES[rng.integers(len(FAMILIES))]()
    family.configure(rng)
    kind = [np.float32, np.float16][rng.integers(2)]
    width, height = (int(v) for v in np.exp(rng.uniform(np.log(1), np.log(700), 2)))
    if not family.nested and max(width, height) > 200 * min(width, height):
        width = height  # refused by the processor
    processor, model = family.processor(**family.small), family.model().float().eval()
    body, params = family.parts(model)
    vision.fill_vision(params, rng, body.config.hidden_size)
    rgb = picture('photo', width, height, seed)
    image = [[Image.fromarray(rgb)]] if family.nested else [Image.fromarray(rgb)]
    want = family.visual(model, processor.image_processor(image, return_tensors='pt', **family.image_args)).numpy()
    files = [os.path.join(folder, f'odd-{seed}{end}') for end in ('.mmproj.gguf', '.png', '.npy')]
    family.write_mmproj(files[0], model, kind)
    Image.fromarray(rgb).save(files[1])
    said, good = [], True
    for device in a.devices:
        try:
            error = odd.difference(odd.embed(a.pagereel, device, *files), want)
            said.append(f'{device} {error:.1e}')
            good &= error <= BOUND
        except RuntimeError as e:
            said.append(f'{device}: {e}')
            good = False
    print(f'{seed}: {family.name} {kind.__name__} {family.say}, {width} x {height}: {want.shape[0]} tokens, {", ".join(said)}{"" if good else "  WRONG"}',
          flush=True)
    for path in files if good else []:
        os.unlink(path)
    return good


if __name__ == '__main__':
    odd.main(check, 40)
