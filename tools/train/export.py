#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the newest averaged weights as two GGUF files that llama.cpp's format describes: NAME.gguf (architecture llama, tokenizer
gpt2/gpt-2) and mmproj-NAME.gguf (projector idefics3).

    export.py STATE OUT_FOLDER [--name pagereel-tiny] [--type q8_0|f16|f32]

Needs the Python package `gguf`. Before answer.pt exists, the text model is the untrained one: for trying the files only.
"""

import argparse
import pathlib
import sys

import gguf
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import answer, keep, model, tokenizer  # noqa: E402
from world import picture, words  # noqa: E402

TYPES = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "f16": gguf.GGMLQuantizationType.F16, "f32": gguf.GGMLQuantizationType.F32}
# How SmolVLM writes a conversation; programs know the format by these marks.
TEMPLATE = ("<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == 'image' %}"
            "{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
            "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
            "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")


class Writer:
    def __init__(self, path, architecture, kind):
        self.out, self.kind = gguf.GGUFWriter(path, architecture), kind

    def put(self, name, tensor):
        """Matrices in the file's type; vectors in f32, as programs expect them."""
        data = tensor.detach().float().numpy()
        kind = self.kind if data.ndim > 1 and data.shape[-1] % 32 == 0 and "embd.weight" not in name.replace("token_embd", "") else "f32"
        if name == "v.patch_embd.weight":
            kind = "f32" if self.kind == "f32" else "f16"
        if kind == "f32":
            self.out.add_tensor(name, data)
        elif kind == "f16":
            self.out.add_tensor(name, data.astype(np.float16))
        else:
            packed = gguf.quants.quantize(data, TYPES[kind])
            self.out.add_tensor(name, packed, raw_dtype=TYPES[kind])

    def close(self):
        self.out.write_header_to_file()
        self.out.write_kv_data_to_file()
        self.out.write_tensors_to_file()
        self.out.close()


def write_text(path, net, words_of, name, kind):
    s, file = net.shape, Writer(path, "llama", kind)
    out = file.out
    out.add_type("model")
    out.add_name(name)
    out.add_license("GPL-2.0-or-later")
    out.add_file_type({"q8_0": 7, "f16": 1, "f32": 0}[kind])
    out.add_context_length(s.context)
    out.add_embedding_length(s.width)
    out.add_block_count(s.layers)
    out.add_feed_forward_length(s.feed)
    out.add_head_count(s.heads)
    out.add_head_count_kv(s.kv_heads)
    out.add_layer_norm_rms_eps(s.eps)
    out.add_rope_freq_base(s.rope_base)
    out.add_rope_dimension_count(s.width // s.heads)
    out.add_vocab_size(s.vocab)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(words_of.tokens)
    out.add_token_types([3 if t in tokenizer.SPECIAL else 5 if t.startswith("<unused_") else 1 for t in words_of.tokens])
    out.add_token_merges([" ".join(m) for m in words_of.merges])
    out.add_bos_token_id(words_of.ids["<|im_start|>"])
    out.add_eos_token_id(words_of.ids[tokenizer.END])
    out.add_unk_token_id(words_of.ids["<|endoftext|>"])
    out.add_pad_token_id(words_of.ids["<|im_end|>"])
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)
    file.put("token_embd.weight", net.embed.weight)
    file.put("output_norm.weight", net.norm.weight)
    for i, layer in enumerate(net.layers):
        for key, module in (("attn_norm", layer.attn_norm), ("ffn_norm", layer.ffn_norm), ("attn_q", layer.q), ("attn_k", layer.k),
                            ("attn_v", layer.v), ("attn_output", layer.out), ("ffn_gate", layer.gate), ("ffn_up", layer.up), ("ffn_down", layer.down)):
            file.put(f"blk.{i}.{key}.weight", module.weight)
    file.close()


def write_vision(path, vision, connector, name, kind, width):
    s, file = vision.shape, Writer(path, "clip", kind)
    out = file.out
    out.add_type("mmproj")
    out.add_name(name)
    out.add_license("GPL-2.0-or-later")
    out.add_file_type({"q8_0": 7, "f16": 1, "f32": 0}[kind])
    out.add_bool("clip.has_vision_encoder", True)
    out.add_string("clip.projector_type", "idefics3")
    out.add_bool("clip.use_gelu", True)
    for key, value in (("image_size", s.image), ("patch_size", s.patch), ("embedding_length", s.width), ("feed_forward_length", s.feed),
                       ("block_count", s.layers), ("projection_dim", width), ("attention.head_count", s.heads),
                       ("projector.scale_factor", s.shuffle), ("preproc_image_size", s.image)):
        out.add_uint32(f"clip.vision.{key}", value)
    out.add_float32("clip.vision.attention.layer_norm_epsilon", s.eps)
    out.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    out.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    file.put("v.patch_embd.weight", vision.patch.weight)
    file.put("v.patch_embd.bias", vision.patch.bias)
    file.put("v.position_embd.weight", vision.position)
    for kind_of in ("weight", "bias"):
        file.put(f"v.post_ln.{kind_of}", getattr(vision.norm, kind_of))
        for i, layer in enumerate(vision.layers):
            parts = dict(zip(("attn_q", "attn_k", "attn_v"), getattr(layer.qkv, kind_of).chunk(3)))
            parts.update(attn_out=getattr(layer.out, kind_of), ln1=getattr(layer.ln1, kind_of), ln2=getattr(layer.ln2, kind_of),
                         ffn_up=getattr(layer.up, kind_of), ffn_down=getattr(layer.down, kind_of))
            for key, tensor in parts.items():
                file.put(f"v.blk.{i}.{key}.{kind_of}", tensor)
    file.put("mm.model.fc.weight", connector.fc.weight)
    file.close()


def newest(folder, words_list=None):
    """The averaged model of a state folder and its tokenizer."""
    folder = pathlib.Path(folder)
    words_of = answer.tokenizer_of(folder, 1, words.read(words_list))
    torch.manual_seed(1)
    net = answer.Answerer(model.VisionShape(image=picture.SIZE, patch=picture.PATCH), model.TextShape(vocab=len(words_of.tokens)))
    whole, encoder = keep.State(folder, "answer").load(), keep.State(folder, "encoder").load()
    if whole:
        net.load_state_dict(whole["average"])
    elif encoder:
        net.vision.load_state_dict({k[len("vision."):]: v for k, v in encoder["average"].items() if k.startswith("vision.")})
    return net.eval(), words_of


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("folder", type=pathlib.Path)
    ask.add_argument("--name", default="pagereel-tiny")
    ask.add_argument("--type", default="q8_0", choices=TYPES)
    args = ask.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    net, words_of = newest(args.state)
    text, vision = args.folder / f"{args.name}.gguf", args.folder / f"mmproj-{args.name}.gguf"
    write_text(text, net.text, words_of, args.name, args.type)
    write_vision(vision, net.vision, net.connector, args.name, args.type, net.text.shape.width)
    print(f"{text}: {text.stat().st_size} bytes\n{vision}: {vision.stat().st_size} bytes")


if __name__ == "__main__":
    main()
