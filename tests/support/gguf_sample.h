/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small GGUF file with a key of every kind, and checks of what the reader makes of it and of its damaged copies. They fail
 * the running cmocka test.
 */
#pragma once

#include "tests/support/gguf_writer.h"

#define GGUF_SAMPLE_NAME "models/small.gguf"

extern const float gguf_sample_a[6];    /* data of tensor "a" [3, 2], f32 */
extern const uint8_t gguf_sample_b[36]; /* data of tensor "b.weight" [32, 1, 2], q4_0 */

/* Adds all keys and both tensors. */
void gguf_sample_keys(struct gguf_writer *w);
/* Finishes the writer and gives its file: the data of the first two tensors is gguf_sample_a and _b, if they are so large. */
struct base_buf gguf_sample_file(struct gguf_writer *w);
struct base_buf gguf_sample(void); /* the sample as it should be */

/* Reads all that the reader hands out, so that a sanitizer or the kernel objects to what lies outside the file. */
void gguf_sample_walk(const struct gguf *gguf);
/* Opens a copy that ends exactly where its allocation does, walks over it and closes it. The result of opening. */
int gguf_sample_open(const void *data, size_t size);
/* The message of the last failure begins with the file's name, contains `part`, and is one line. */
void gguf_sample_message(const char *file, const char *part);
