/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel devices: what can compute, and what of it is used.
 */
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"

#include <string.h>

static void json_key(struct base_buf *out, const char *key, const char *text)
{
    base_buf_printf(out, "\"%s\":", key);
    base_json_text(out, text ? text : "", text ? strlen(text) : 0);
}

static void append_json(struct base_buf *out, const struct pr_device *device)
{
    base_buf_puts(out, "{");
    json_key(out, "id", device->id);
    base_buf_puts(out, ",");
    json_key(out, "name", device->name);
    base_buf_puts(out, ",");
    json_key(out, "driver", device->driver);
    base_buf_printf(out, ",\"software\":%s,\"memory\":%llu,\"features\":[", device->software ? "true" : "false",
                    (unsigned long long)device->memory);
    for (size_t i = 0; i < device->n_features; i++) {
        base_buf_puts(out, i ? ",{" : "{");
        json_key(out, "name", device->features[i].name);
        base_buf_printf(out, ",\"used\":%s,", device->features[i].used ? "true" : "false");
        json_key(out, "why", device->features[i].why);
        base_buf_puts(out, "}");
    }
    base_buf_puts(out, "]}");
}

static void append_text(struct base_buf *out, const struct pr_device *device)
{
    base_buf_printf(out, "%-10s %s", device->id, device->name);
    if (device->driver && device->driver[0])
        base_buf_printf(out, ", %s", device->driver);
    if (device->memory > 0)
        base_buf_printf(out, ", %.1f GiB", (double)device->memory / 0x1p30);
    base_buf_printf(out, "%s\n", device->software ? ", software" : "");
    for (size_t i = 0; i < device->n_features; i++) {
        const struct pr_feature *feature = &device->features[i];
        base_buf_printf(out, "    %-9s %s%s%s\n", feature->used ? "used" : "not used", feature->name,
                        feature->why && feature->why[0] ? ": " : "", feature->why ? feature->why : "");
    }
}

int cli_devices(const struct args *args)
{
    struct pr_device *devices = NULL;
    struct base_buf out = {0};
    size_t n;
    int err = pr_devices(&devices, &n);
    if (err < 0)
        return err;
    bool json = args->settings.json;
    if (json)
        base_buf_puts(&out, "{\"devices\":[");
    for (size_t i = 0; i < n; i++) {
        if (json)
            base_buf_puts(&out, i ? "," : "");
        (json ? append_json : append_text)(&out, &devices[i]);
    }
    if (json)
        base_buf_puts(&out, "]}\n");
    err = cli_write(out.data ? out.data : "", out.len);
    base_buf_finish(&out);
    pr_free(devices);
    return err;
}
