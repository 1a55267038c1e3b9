/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel bench llm, pagereel bench ppl: measurements of a model, as a table or as JSON.
 */
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_TEXT = 1 << 30 };

static void json_number(struct base_buf *out, const char *key, double value)
{
    base_buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    base_json_double(out, value);
}

static void json_string(struct base_buf *out, const char *key, const char *text)
{
    base_buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    base_json_text(out, text, strlen(text));
}

static int write_buf(struct base_buf *out)
{
    int err = cli_write(out->data, out->len);
    base_buf_finish(out);
    return err;
}

/* ---- speed -------------------------------------------------------------------------------------------------------- */

static int print_llm(const struct pr_model *model, const struct pr_bench_llm *b, bool json)
{
    struct base_buf out = {0};
    if (json) {
        base_buf_puts(&out, "{");
        json_string(&out, "model", pr_model_name(model));
        json_string(&out, "placement", pr_model_placement(model));
        json_number(&out, "runs", b->runs);
        json_number(&out, "prefill_tok_s", b->prefill_tok_s);
        json_number(&out, "decode_tok_s", b->decode_tok_s);
        json_number(&out, "prefill_peak_share", b->prefill_peak_share);
        json_number(&out, "decode_bandwidth_share", b->decode_bandwidth_share);
        json_number(&out, "peak_gflop_s", b->peak_gflop_s);
        json_number(&out, "bandwidth_gb_s", b->bandwidth_gb_s);
        json_number(&out, "weight_bytes", (double)b->weight_bytes);
        json_number(&out, "cache_bytes", (double)b->cache_bytes);
        json_number(&out, "arena_bytes", (double)b->arena_bytes);
        json_number(&out, "peak_device_bytes", (double)b->peak_device_bytes);
        base_buf_puts(&out, "}\n");
        return write_buf(&out);
    }
    base_buf_printf(&out, "%s: %s; medians of %d runs\n", pr_model_name(model), pr_model_placement(model),
                    (int)b->runs);
    base_buf_printf(&out, "prefill, 256 tokens  %9.1f tokens/s  %5.1f %% of %.0f GFLOP/s\n", b->prefill_tok_s,
                    100 * b->prefill_peak_share, b->peak_gflop_s);
    base_buf_printf(&out, "decode, 32 tokens    %9.1f tokens/s  %5.1f %% of %.1f GB/s\n", b->decode_tok_s,
                    100 * b->decode_bandwidth_share, b->bandwidth_gb_s);
    base_buf_printf(
        &out, "memory               weights %.1f MiB, cache %.1f MiB, activations %.1f MiB; device peak %.1f MiB\n",
        (double)b->weight_bytes / 0x1p20, (double)b->cache_bytes / 0x1p20, (double)b->arena_bytes / 0x1p20,
        (double)b->peak_device_bytes / 0x1p20);
    return write_buf(&out);
}

int cli_bench_llm(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct pr_bench_llm result;
    int err;
    TRY(pr_model_open(settings, cli_cancel(), &model));
    TRY(pr_bench_llm(model, settings, cli_cancel(), &result));
    TRY(print_llm(model, &result, settings->json));
fail:
    pr_model_close(model);
    return err;
}

/* ---- perplexity --------------------------------------------------------------------------------------------------- */

struct curve {
    bool json;
    struct base_buf points; /* JSON */
};

static void on_progress(void *user, int64_t tokens, int64_t total, double perplexity, uint64_t resident)
{
    struct curve *curve = user;
    if (!curve->json) {
        cli_printf("%8lld of %lld tokens  perplexity %10.3f  resident %.1f MiB\n", (long long)tokens, (long long)total,
                   perplexity, (double)resident / 0x1p20);
        cli_flush();
        return;
    }
    base_buf_printf(&curve->points, "%s{\"tokens\":%lld,\"perplexity\":", curve->points.len ? "," : "",
                    (long long)tokens);
    base_json_double(&curve->points, perplexity);
    base_buf_printf(&curve->points, ",\"resident\":%llu}", (unsigned long long)resident);
}

static int print_ppl(const struct pr_model *model, const struct pr_bench_ppl *b, const struct curve *curve)
{
    struct base_buf out = {0};
    if (curve->json) {
        base_buf_puts(&out, "{");
        json_string(&out, "model", pr_model_name(model));
        json_string(&out, "placement", pr_model_placement(model));
        json_number(&out, "n_tokens", (double)b->n_tokens);
        json_number(&out, "n_scored", (double)b->n_scored);
        json_number(&out, "perplexity", b->perplexity);
        json_number(&out, "last_tenth_perplexity", b->last_tenth_perplexity);
        if (b->fresh_perplexity > 0)
            json_number(&out, "fresh_perplexity", b->fresh_perplexity);
        json_number(&out, "resident_start", (double)b->resident_start);
        json_number(&out, "resident_end", (double)b->resident_end);
        json_number(&out, "tok_s", b->tok_s);
        base_buf_printf(&out, ",\"curve\":[%s]}\n", curve->points.data ? curve->points.data : "");
        return write_buf(&out);
    }
    base_buf_printf(&out, "perplexity           %.4f over %lld of %lld tokens, %.4f over the last tenth\n",
                    b->perplexity, (long long)b->n_scored, (long long)b->n_tokens, b->last_tenth_perplexity);
    if (b->fresh_perplexity > 0)
        base_buf_printf(&out, "fresh windows        %.4f over the last tenth\n", b->fresh_perplexity);
    base_buf_printf(&out, "speed                %.1f tokens/s\n", b->tok_s);
    base_buf_printf(&out, "resident memory      %.1f MiB after 10,000 tokens, %.1f MiB at the end\n",
                    (double)b->resident_start / 0x1p20, (double)b->resident_end / 0x1p20);
    return write_buf(&out);
}

int cli_bench_ppl(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct base_buf text = {0};
    struct curve curve = {.json = settings->json};
    struct pr_bench_ppl result = {0};
    int err;
    cli_cancel();
    if (settings->text[0])
        TRY(base_file_read(settings->text, LONGEST_TEXT, &text));
    else
        TRY(cli_read_input("no text; give --text FILE, or the text on standard input", &text));
    TRY(pr_model_open(settings, cli_cancel(), &model));
    err =
        pr_bench_ppl(model, settings, text.data ? text.data : "", text.len, on_progress, &curve, cli_cancel(), &result);
    if (settings->output[0] &&
        result.n_scored > 0) { /* reading takes hours on some devices: what was read isn't lost */
        int written = cli_write_npy(settings->output, result.logprobs, (size_t)result.n_scored, 0);
        err = err == PR_OK ? written : err;
    }
    if (err != PR_OK)
        goto fail;
    TRY(print_ppl(model, &result, &curve));
fail:
    pr_bench_ppl_finish(&result);
    base_buf_finish(&curve.points);
    base_buf_finish(&text);
    pr_model_close(model);
    return err;
}

/* ---- vision ------------------------------------------------------------------------------------------------------- */

int cli_bench_vision(const struct args *args)
{
    struct pr_bench_vision b;
    struct base_buf out = {0};
    int err = pr_bench_vision(&args->settings, cli_cancel(), &b);
    if (err < 0)
        return err;
    if (args->settings.json) {
        base_buf_puts(&out, "{");
        json_string(&out, "family", b.family);
        json_string(&out, "device", b.device);
        json_number(&out, "side", b.side);
        json_number(&out, "crops", b.crops);
        json_number(&out, "tokens", (double)b.tokens);
        json_number(&out, "runs", b.runs);
        json_number(&out, "prepare_s", b.prepare_s);
        json_number(&out, "encode_s", b.encode_s);
        json_number(&out, "gflop_s", b.gflop_s);
        json_number(&out, "arena_bytes", (double)b.arena_bytes);
        json_number(&out, "peak_device_bytes", (double)b.peak_device_bytes);
        base_buf_puts(&out, "}\n");
        return write_buf(&out);
    }
    base_buf_printf(&out, "%s on %s: a picture of %d x %d pixels, %d crops, %lld tokens; medians of %d runs\n",
                    b.family, b.device, (int)b.side, (int)b.side, (int)b.crops, (long long)b.tokens, (int)b.runs);
    base_buf_printf(&out, "preparing            %9.4f s\n", b.prepare_s);
    base_buf_printf(&out, "encoding             %9.4f s  %.1f tokens/s  %.1f GFLOP/s\n", b.encode_s,
                    (double)b.tokens / b.encode_s, b.gflop_s);
    base_buf_printf(&out, "memory               %.1f MiB for activations, device peak %.1f MiB\n",
                    (double)b.arena_bytes / 0x1p20, (double)b.peak_device_bytes / 0x1p20);
    return write_buf(&out);
}
