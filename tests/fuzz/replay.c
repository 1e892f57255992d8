/*
 * vnx fuzz targets without a fuzzer: run them on the files of a corpus
 *
 * usage: replay-NAME FILE|FOLDER...
 *
 * Linked to one fuzz target.  Each file is one input; every file of a folder is
 * taken.  Prints a TAP line for each; a finding ends the process (sanitizer, or a
 * failed assertion), with the name of the input as the last line before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static unsigned count;

static void replay_file(const char *path)
{
    g_autoptr(GError) err = NULL;
    gchar *data;
    gsize size;
    uint8_t *exact;

    if (!g_file_get_contents(path, &data, &size, &err)) {
        printf("Bail out! %s\n", err->message);
        exit(1);
    }
    printf("# %s\n", path);
    fflush(stdout);
    /* g_file_get_contents() adds a NUL, which would hide a read beyond the end */
    exact = g_malloc(size);
    if (size) {
        memcpy(exact, data, size);
    }
    g_free(data);
    LLVMFuzzerTestOneInput(exact, size);
    g_free(exact);
    printf("ok %u %s\n", ++count, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void replay(const char *path)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    if (!dir) {
        replay_file(path);
        return;
    }
    while ((name = g_dir_read_name(dir))) {
        g_ptr_array_add(names, g_build_filename(path, name, NULL));
    }
    g_dir_close(dir);
    g_ptr_array_sort(names, compare_names);
    for (unsigned i = 0; i < names->len; i++) {
        replay_file(names->pdata[i]);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        replay(argv[i]);
    }
    if (!count) {
        printf("Bail out! no input\n");
        return 1;
    }
    printf("1..%u\n", count);
    return 0;
}
