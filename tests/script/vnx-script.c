/*
 * vnx script runner: packetdrill-like tests of vTCP under a virtual clock
 *
 *   vnx-script [-v] [-i 4|6] [-m] FILE...
 *
 * Each file runs in both IP families (or those of its line "ip:"), and once more with
 * guest and net in each other's place (but for "mirror: no"): up to four TAP tests,
 * NAME/ip4, NAME/ip4/mirrored ...  On a failure the line, what was wanted, what came, and
 * all packets so far are told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdio.h>
#include <string.h>

#include "script.h"

typedef struct Options {
    gboolean verbose, migrate;
    char *states;
    int only;                   /* 4, 6; 0: both */
} Options;

static void finish(World *w)
{
    w->line = g_strv_length(w->lines);
    no_output(w, GUEST);
    no_output(w, NET);
}

/* Multi-line diagnostics, as TAP has it. */
static void print_diagnostics(const char *text)
{
    char **v = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; v[i]; i++) {
        if (*v[i]) {
            printf("%s%s\n", v[i][0] == '#' ? "" : "# ", v[i]);
        }
    }
    g_strfreev(v);
}

/* True if the failure is the one that the script announced. */
static bool failed_as_expected(const World *w)
{
    return w->fail_line == w->line &&
           strstr(w->failure, w->fail_text ? w->fail_text : "");
}

static bool run_one(const char *file, char **lines, int family, bool mirrored,
                    const Options *o)
{
    World *w = g_new0(World, 1);
    char *base = g_path_get_basename(file);
    bool failed, ok;

    base[strcspn(base, ".")] = 0;
    w->file = file;
    w->lines = lines;
    w->family = family;
    w->mirrored = mirrored;
    w->migrating = o->migrate || o->states;
    w->states = o->states;
    w->now_ns = START_NS;
    w->n_queues = 1;
    vnx_vtcp_config_init(&w->cfg);
    seg_init(&w->base);
    w->conns = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    w->conn = conn_get(w, 0);
    w->told = g_array_new(FALSE, FALSE, sizeof(Told));
    w->trace = g_string_new(NULL);
    g_queue_init(&w->out[GUEST]);
    g_queue_init(&w->out[NET]);

    failed = setjmp(w->failed);
    if (!failed) {
        run_lines(w, 0, g_strv_length(lines));
        finish(w);
    }
    failed = w->failure != NULL;
    ok = w->fail_line ? failed && failed_as_expected(w) : !failed;
    printf("%sok - %s/ip%d%s\n", ok ? "" : "not ", base, family,
           mirrored ? "/mirrored" : "");
    if (!ok || o->verbose) {
        print_diagnostics(w->trace->str);
    }
    if (!ok) {
        printf("# %s:%d: %s\n", file, w->line,
               w->fail_line ? "not the failure that was expected" : "failed");
    }
    if (failed && (!ok || o->verbose)) {
        print_diagnostics(w->failure);
    }
    fflush(stdout);
    world_free(w);
    g_free(base);
    g_free(w);
    return ok;
}

/* A header line, "name: value", or NULL. */
static const char *header(char **lines, const char *name)
{
    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], name)) {
            return lines[i] + strlen(name);
        }
    }
    return NULL;
}

static bool run_file(const char *file, const Options *o, unsigned *tests)
{
    GError *err = NULL;
    char *text, **lines;
    const char *families, *mirror;
    bool ok = true;

    if (!g_file_get_contents(file, &text, NULL, &err)) {
        printf("Bail out! %s\n", err->message);
        g_error_free(err);
        return false;
    }
    lines = g_strsplit(g_strchomp(text), "\n", -1);
    g_free(text);
    families = header(lines, "ip:");
    mirror = header(lines, "mirror:");
    for (int family = 4; family <= 6; family += 2) {
        if ((o->only && o->only != family) ||
            (families && !strchr(families, '0' + family))) {
            continue;
        }
        ok &= run_one(file, lines, family, false, o);
        ++*tests;
        if (!mirror || !strstr(mirror, "no")) {
            ok &= run_one(file, lines, family, true, o);
            ++*tests;
        }
    }
    g_strfreev(lines);
    return ok;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    GOptionEntry entries[] = {
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &o.verbose, "print all packets", NULL },
        { "ip", 'i', 0, G_OPTION_ARG_INT, &o.only, "run in this family only", "4|6" },
        { "migrate", 'm', 0, G_OPTION_ARG_NONE, &o.migrate,
          "save and load before each segment", NULL },
        { "write-states", 0, 0, G_OPTION_ARG_FILENAME, &o.states,
          "and write what was saved, as seeds of the fuzz target state", "DIR" },
        { NULL }
    };
    GOptionContext *ctx = g_option_context_new("FILE... - vTCP script tests");
    GError *err = NULL;
    unsigned tests = 0;
    bool ok = true;

    g_option_context_add_main_entries(ctx, entries, NULL);
    if (!g_option_context_parse(ctx, &argc, &argv, &err) || argc < 2) {
        fprintf(stderr, "%s\n", err ? err->message : "which FILE?");
        g_clear_error(&err);
        g_option_context_free(ctx);
        return 2;
    }
    g_option_context_free(ctx);
    for (int i = 1; i < argc; i++) {
        ok &= run_file(argv[i], &o, &tests);
    }
    printf("1..%u\n", tests);
    return ok && tests ? 0 : 1;
}
