"""llama.cpp as a library: logits of a GGUF file, and ggml's quantisers, through ctypes.

The shared libraries come with the npm package node-llama-cpp (tools/peer/README.md says how to get it):
    PAGEREEL_PEER=FOLDER           where `npm install node-llama-cpp` was run
    PAGEREEL_PEER_DEVICE=vulkan    its Vulkan backend instead of the CPU; one device a process
Struct layouts are those of llama.h in node-llama-cpp 3.22 (llama.cpp v0.5.0); `_check_layout` refuses others.
"""
import ctypes as C
import glob
import os

import numpy as np


class ModelParams(C.Structure):
    _fields_ = [('devices', C.c_void_p), ('overrides', C.c_void_p), ('n_gpu_layers', C.c_int32), ('split_mode', C.c_int32),
                ('load_mode', C.c_int32), ('lazy_mode', C.c_int32), ('main_gpu', C.c_int32), ('tensor_split', C.c_void_p),
                ('progress', C.c_void_p), ('progress_user', C.c_void_p), ('kv_overrides', C.c_void_p),
                ('vocab_only', C.c_bool), ('check_tensors', C.c_bool), ('use_extra_bufts', C.c_bool), ('no_host', C.c_bool),
                ('no_alloc', C.c_bool), ('load_mtp', C.c_bool), ('spare', C.c_uint8 * 64)]


class ContextParams(C.Structure):
    _fields_ = [(k, C.c_uint32) for k in ('n_ctx', 'n_batch', 'n_ubatch', 'n_seq_max', 'n_rs_seq', 'n_outputs_max',
                                          'n_outputs_max_per_seq')] + \
               [(k, C.c_int32) for k in ('n_threads', 'n_threads_batch', 'ctx_type', 'rope_scaling_type', 'pooling_type',
                                         'attention_type', 'flash_attn_type')] + \
               [(k, C.c_float) for k in ('rope_freq_base', 'rope_freq_scale', 'yarn_ext_factor', 'yarn_attn_factor',
                                         'yarn_beta_fast', 'yarn_beta_slow')] + \
               [('yarn_orig_ctx', C.c_uint32), ('defrag_thold', C.c_float), ('cb_eval', C.c_void_p),
                ('cb_eval_user', C.c_void_p), ('type_k', C.c_int32), ('type_v', C.c_int32), ('abort', C.c_void_p),
                ('abort_user', C.c_void_p), ('flags', C.c_uint8 * 8), ('spare', C.c_uint8 * 128)]


class Batch(C.Structure):
    _fields_ = [('n_tokens', C.c_int32), ('token', C.c_void_p), ('embd', C.c_void_p), ('pos', C.c_void_p),
                ('n_seq_id', C.c_void_p), ('seq_id', C.c_void_p), ('logits', C.c_void_p)]


GGML_F32, GGML_F16 = 0, 1
_LOG = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)
_messages = []
_log = _LOG(lambda level, text, user: _messages.append(text.decode(errors='replace')))
_lib = _base = None


def vulkan():
    return os.environ.get('PAGEREEL_PEER_DEVICE') == 'vulkan'


def _folder():
    root = os.environ.get('PAGEREEL_PEER')
    if not root:
        raise SystemExit('set PAGEREEL_PEER to the folder in which you ran `npm install node-llama-cpp`')
    name = 'linux-x64-vulkan' if vulkan() else 'linux-x64'
    folder = os.path.join(root, 'node_modules/@node-llama-cpp', name, 'bins', name)
    if not os.path.isdir(folder):
        raise SystemExit(f'{root}: no node_modules/@node-llama-cpp/{name}; run `npm install node-llama-cpp` there')
    return folder


def _one(folder, pattern):
    return C.CDLL(sorted(glob.glob(os.path.join(folder, pattern)))[0], mode=C.RTLD_GLOBAL)


def base():
    """libggml-base: quantisers and row converters."""
    global _base
    if _base is None:
        _base = _one(_folder(), 'libggml-base*.so')
        _base.ggml_quantize_chunk.argtypes = [C.c_int, C.c_void_p, C.c_void_p, C.c_int64, C.c_int64, C.c_int64, C.c_void_p]
        _base.ggml_quantize_chunk.restype = C.c_size_t
    return _base


def quantize(x, kind, row_bytes):
    """Rows [n, cols] f32 as ggml type number `kind`: uint8 [n, row_bytes]."""
    x = np.ascontiguousarray(x, np.float32)
    out = np.zeros((x.shape[0], row_bytes), np.uint8)
    used = base().ggml_quantize_chunk(int(kind), x.ctypes.data, out.ctypes.data, 0, x.shape[0], x.shape[1], None)
    assert used == out.nbytes, (kind, used, out.nbytes)
    return out


def _check_layout(model, context):
    ok = model.n_gpu_layers == -1 and model.use_extra_bufts and context.n_ctx == 512 and context.n_batch == 2048 and \
        context.flash_attn_type == -1 and context.yarn_ext_factor == -1 and context.type_k == GGML_F16 and \
        context.type_v == GGML_F16
    if not ok:
        raise SystemExit('this llama.cpp has other struct layouts than tools/peer/llama_cpp.py; use node-llama-cpp 3.22')


def lib():
    global _lib
    if _lib is None:
        folder = _folder()
        if vulkan():  # llama.cpp hides software devices unless they are named
            os.environ.setdefault('GGML_VK_VISIBLE_DEVICES', '0')
        base()
        ggml = _one(folder, 'libggml.*so')
        _lib = _one(folder, 'libllama.*so')
        _lib.llama_log_set(_log, None)
        ggml.ggml_backend_load_all_from_path(folder.encode())
        for name, restype, args in [
                ('llama_model_default_params', ModelParams, []),
                ('llama_context_default_params', ContextParams, []),
                ('llama_model_load_from_file', C.c_void_p, [C.c_char_p, ModelParams]),
                ('llama_init_from_model', C.c_void_p, [C.c_void_p, ContextParams]),
                ('llama_decode', C.c_int32, [C.c_void_p, Batch]),
                ('llama_get_logits_ith', C.c_void_p, [C.c_void_p, C.c_int32]),
                ('llama_model_get_vocab', C.c_void_p, [C.c_void_p]),
                ('llama_vocab_n_tokens', C.c_int32, [C.c_void_p]),
                ('llama_tokenize', C.c_int32, [C.c_void_p, C.c_char_p, C.c_int32, C.c_void_p, C.c_int32, C.c_bool, C.c_bool]),
                ('llama_get_memory', C.c_void_p, [C.c_void_p]), ('llama_memory_clear', None, [C.c_void_p, C.c_bool]),
                ('llama_free', None, [C.c_void_p]), ('llama_model_free', None, [C.c_void_p])]:
            fn = getattr(_lib, name)
            fn.restype, fn.argtypes = restype, args
        _lib.llama_backend_init()
        _check_layout(_lib.llama_model_default_params(), _lib.llama_context_default_params())
    return _lib


def _ptr(a):
    return None if a is None else a.ctypes.data


class Model:
    """A GGUF file in llama.cpp. repack=False keeps the weights as they lie in the file (CPU)."""

    def __init__(self, path, vocab_only=False, threads=1, n_ctx=512, cache=GGML_F32, flash=False, repack=True):
        p = lib().llama_model_default_params()
        p.n_gpu_layers, p.vocab_only, p.use_extra_bufts = 99 if vulkan() else 0, vocab_only, repack
        _messages.clear()
        self.context = None
        self.model = lib().llama_model_load_from_file(str(path).encode(), p)
        if not self.model:
            raise RuntimeError(f'llama.cpp refuses {path}:\n' + ''.join(_messages[-6:]))
        self.vocab = lib().llama_model_get_vocab(self.model)
        self.n_vocab = lib().llama_vocab_n_tokens(self.vocab)
        if vocab_only:
            return
        c = lib().llama_context_default_params()
        c.n_ctx, c.n_batch, c.n_ubatch = n_ctx, n_ctx, n_ctx
        c.n_threads = c.n_threads_batch = threads
        c.type_k = c.type_v = cache
        c.flash_attn_type = int(flash)
        self.context = lib().llama_init_from_model(self.model, c)
        if not self.context:
            raise RuntimeError(f'llama.cpp: no context for {path}:\n' + ''.join(_messages[-6:]))

    def close(self):
        if self.context:
            lib().llama_free(self.context)
        lib().llama_model_free(self.model)
        self.context = self.model = None

    def decode(self, ids=None, rows=None, position=None):
        """Reads token ids [n] at positions [n], or rows [n, width] at positions [axes, n]. Logits of the last, f32 [n_vocab]."""
        n = len(ids) if ids is not None else len(rows)
        ids = None if ids is None else np.ascontiguousarray(ids, np.int32)
        rows = None if rows is None else np.ascontiguousarray(rows, np.float32)
        position = np.ascontiguousarray(position, np.int32)
        n_seq = np.ones(n, np.int32)
        zero = np.zeros(1, np.int32)
        seq = np.full(n, zero.ctypes.data, np.uint64)
        want = np.zeros(n, np.int8)
        want[-1] = 1
        rc = lib().llama_decode(self.context, Batch(n, _ptr(ids), _ptr(rows), _ptr(position), _ptr(n_seq), _ptr(seq), _ptr(want)))
        if rc:
            raise RuntimeError(f'llama_decode: {rc}: ' + ''.join(_messages[-3:]))
        at = lib().llama_get_logits_ith(self.context, n - 1)
        return np.ctypeslib.as_array(C.cast(at, C.POINTER(C.c_float)), (self.n_vocab,)).copy()

    def clear(self):
        lib().llama_memory_clear(lib().llama_get_memory(self.context), True)

    def tokenize(self, text, special=False, bos=False):
        raw = text if isinstance(text, bytes) else text.encode()
        out = np.zeros(len(raw) + 16, np.int32)
        n = lib().llama_tokenize(self.vocab, raw, len(raw), out.ctypes.data, len(out), bos, special)
        assert n >= 0
        return out[:n].tolist()


def logprobs(logits):
    x = logits.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())
